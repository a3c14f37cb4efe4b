// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/local"
	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

// publishImage seals and publishes an image.
func (n *node) publishImage(id artifacts.ID, image map[string][]byte) *local.Snapshot {
	n.t.Helper()
	d := n.draft(id, image)
	parts, err := Seal(n.t.Context(), d.Dir(), nil)
	if err != nil {
		n.t.Fatal(err)
	}
	m := manifest(id, artifacts.Full)
	m.Parts = parts
	snap, err := d.Publish(m)
	if err != nil {
		n.t.Fatal(err)
	}
	return snap
}

func TestFsckFindsDamageAndDeletesNothing(t *testing.T) {
	n := newNode(t)
	var snaps []*local.Snapshot
	for i := range 4 {
		snaps = append(snaps, n.publishImage(artifacts.NewID(epoch.Add(time.Duration(i)*time.Second)), testImage(uint64(i), 50)))
	}
	pages, err := local.ImagePath(snaps[1].Dir, artifacts.PartPages)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(pages, 100); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(local.ManifestPath(snaps[2].Dir)); err != nil {
		t.Fatal(err)
	}
	want := []artifacts.ID{snaps[1].Manifest.ID, snaps[2].Manifest.ID}
	for _, r := range []Repair{ReportOnly, SetAside} {
		bad, err := Fsck(t.Context(), n.store, r, nil)
		if err != nil {
			t.Fatal(err)
		}
		var got []artifacts.ID
		for _, d := range bad {
			got = append(got, d.ID)
			if !errors.Is(d.Err, errdefs.ErrDataLoss) {
				t.Errorf("%s: %v, want data loss", d.ID, d.Err)
			}
			if _, err := os.Stat(d.Moved); (err == nil) != (r == SetAside) {
				t.Errorf("%s moved to %q: %v", d.ID, d.Moved, err)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("damaged (-want +got):\n%s", diff)
		}
	}
	ids, err := n.store.IDs()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]artifacts.ID{snaps[0].Manifest.ID, snaps[3].Manifest.ID}, ids); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if bad, err := Fsck(t.Context(), n.store, ReportOnly, nil); err != nil || len(bad) > 0 {
		t.Errorf("afterwards: %v, %v", bad, err)
	}
}
