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

// wantDamage compares the ids and wants data loss for each.
func wantDamage(t *testing.T, bad []Damage, want ...artifacts.ID) {
	t.Helper()
	var got []artifacts.ID
	for _, d := range bad {
		got = append(got, d.ID)
		if !errors.Is(d.Err, errdefs.ErrDataLoss) {
			t.Errorf("%s: %v, want data loss", d.ID, d.Err)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("damaged (-want +got):\n%s", diff)
	}
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
	bad, err := FsckLocal(t.Context(), n.store, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantDamage(t, bad, want...)
	for _, id := range want {
		if to, err := n.store.SetAside(id); err != nil {
			t.Error(err)
		} else if _, err := os.Stat(to); err != nil {
			t.Errorf("%s was set aside and is not there: %v", id, err)
		}
	}
	ids, err := n.store.IDs()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]artifacts.ID{snaps[0].Manifest.ID, snaps[3].Manifest.ID}, ids); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if bad, err := FsckLocal(t.Context(), n.store, nil); err != nil || len(bad) > 0 {
		t.Errorf("afterwards: %v, %v", bad, err)
	}
}

// TestDamagedSnapshotsOfAStoreAreSetAside: the sweep works again, and what is
// left of them stays.
func TestDamagedSnapshotsOfAStoreAreSetAside(t *testing.T) {
	s := openStore(t, fileURL(t.TempDir()))
	n := newNode(t)
	n.write(0, "file", "content")
	commit := func(i int) *artifacts.Manifest {
		m, _ := n.commit(s, artifacts.Full, epoch.Add(time.Duration(i)*time.Second), testImage(uint64(i), 300), "")
		return m
	}
	whole, lostPack, noManifest := commit(0), commit(1), commit(2)
	packs := objectsOf(t, s, lostPack)
	broken := packs[len(packs)-1]
	mustPut(t, s, broken, []byte("no pack"))
	mustPut(t, s, artifacts.ManifestKey(noManifest.ID), []byte("no manifest"))
	later := SweepOptions{Now: time.Now().Add(2 * DefaultGrace)}
	if _, err := Sweep(t.Context(), s, later); !errors.Is(err, errdefs.ErrDataLoss) {
		t.Errorf("sweep with a manifest that is none: %v, want data loss", err)
	}

	before := keys(t, s, "")
	bad, err := Fsck(t.Context(), s, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantDamage(t, bad, lostPack.ID, noManifest.ID)
	if diff := cmp.Diff(before, keys(t, s, "")); diff != "" {
		t.Errorf("objects after looking (-want +got):\n%s", diff)
	}
	for _, d := range bad {
		if _, err := SetAside(t.Context(), s, d.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := Get(t.Context(), s, d.ID); !errors.Is(err, errdefs.ErrNotFound) {
			t.Errorf("get a snapshot that was set aside: %v, want not found", err)
		}
	}
	if _, err := Sweep(t.Context(), s, later); err != nil {
		t.Fatal(err)
	}
	left := map[string]bool{}
	for _, key := range keys(t, s, "") {
		left[key] = true
	}
	keep := append(packs[1:], artifacts.VolumeKey(noManifest.ID, "home"), artifacts.DamagedKey(lostPack.ID), artifacts.DamagedKey(noManifest.ID))
	for _, key := range keep {
		if !left[key] {
			t.Errorf("%s was swept", key)
		}
	}
	if bad, err := Fsck(t.Context(), s, nil); err != nil || len(bad) > 0 {
		t.Errorf("afterwards: %v, %v", bad, err)
	}
	if _, err := Verify(t.Context(), s, whole.ID, Deep, nil); err != nil {
		t.Error(err)
	}
}
