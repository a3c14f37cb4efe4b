// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"bytes"
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/containerd/errdefs"
)

// keys returns the keys of all objects below prefix.
func keys(t testing.TB, s bucket.Store, prefix string) []string {
	t.Helper()
	var all []string
	for info, err := range s.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, info.Key)
	}
	return all
}

func TestRemovedSnapshotIsGoneAndItsChildrenStay(t *testing.T) {
	s := openStore(t, fileURL(t.TempDir()))
	here, there := newNode(t), newNode(t)
	here.write(0, "file", "content")
	image := testImage(1, 600)
	first, _ := here.commit(s, artifacts.Full, epoch, image, "")
	image[artifacts.PartPages] = append(image[artifacts.PartPages], testImage(9, 600)[artifacts.PartPages]...)
	second, _ := here.commit(s, artifacts.Full, epoch.Add(time.Second), image, first.ID)

	if err := Remove(t.Context(), s, first.ID); err != nil {
		t.Fatal(err)
	}
	if err := Remove(t.Context(), s, first.ID); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("removing it again: %v, want not found", err)
	}
	if left := keys(t, s, artifacts.SnapshotPrefix(first.ID)); len(left) > 0 {
		t.Errorf("left of the removed snapshot: %q", left)
	}
	later := time.Now().Add(2 * DefaultGrace)
	report, err := Sweep(t.Context(), s, SweepOptions{Now: later})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Deleted) == 0 {
		t.Error("the sweep deleted nothing; the first snapshot's recipes and trash are free")
	}
	dir, _, err := there.fetch(s, second.ID, false)
	if err != nil {
		t.Fatal(err)
	}
	if !maps.EqualFunc(image, readImage(t, dir), bytes.Equal) {
		t.Error("the child is another image after the sweep")
	}

	if err := Remove(t.Context(), s, second.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := Sweep(t.Context(), s, SweepOptions{Now: later}); err != nil {
		t.Fatal(err)
	}
	if left := keys(t, s, ""); len(left) > 0 {
		t.Errorf("left after everything was removed and swept: %q", left)
	}
}

func TestSweepSparesWhatACommitMayRefer(t *testing.T) {
	s := openStore(t, fileURL(t.TempDir()))
	here, there := newNode(t), newNode(t)
	image := testImage(1, 600)
	first, _ := here.commit(s, artifacts.Full, epoch, image, "")

	// A commit begins, its parent is removed, and the store is swept before
	// the commit publishes.
	id := artifacts.NewID(epoch.Add(time.Second))
	d := here.draft(id, image)
	c, _, err := NewCommit(t.Context(), s, fullRequest(d.Dir(), id, first.ID))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Capture(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if err := Remove(t.Context(), s, first.ID); err != nil {
		t.Fatal(err)
	}
	// All packs are old, only the trash is young: the worst case.
	old := &aged{Store: s, by: 2 * DefaultGrace, young: artifacts.TrashPrefix}
	report, err := Sweep(t.Context(), old, SweepOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Deleted) > 0 {
		t.Errorf("the sweep deleted %q", report.Deleted)
	}
	if _, err := c.Upload(t.Context(), manifest(id, artifacts.Full), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := Sweep(t.Context(), old, SweepOptions{Now: time.Now().Add(2 * DefaultGrace)}); err != nil {
		t.Fatal(err)
	}
	dir, _, err := there.fetch(s, id, false)
	if err != nil {
		t.Fatal(err)
	}
	if !maps.EqualFunc(image, readImage(t, dir), bytes.Equal) {
		t.Error("the snapshot is another image after the sweeps")
	}
}

func TestDryRunDeletesNothing(t *testing.T) {
	s := openStore(t, "mem://")
	n := newNode(t)
	m, _ := n.commit(s, artifacts.Full, epoch, testImage(1, 100), "")
	if err := Remove(t.Context(), s, m.ID); err != nil {
		t.Fatal(err)
	}
	before := keys(t, s, "")
	report, err := Sweep(t.Context(), s, SweepOptions{Now: time.Now().Add(2 * DefaultGrace), DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := keys(t, s, ""); len(got) != len(before) || len(report.Deleted) != len(before) {
		t.Errorf("%d objects before and %d after a dry run that lists %d", len(before), len(got), len(report.Deleted))
	}
}

func TestSweepStopsAtAManifestItCannotRead(t *testing.T) {
	s := openStore(t, fileURL(t.TempDir()))
	n := newNode(t)
	m, _ := n.commit(s, artifacts.Full, epoch, testImage(1, 100), "")
	broken := []byte(`{"format":"1.0"`)
	if err := s.Put(t.Context(), artifacts.ManifestKey(m.ID), bytes.NewReader(broken), int64(len(broken))); err != nil {
		t.Fatal(err)
	}
	packs := keys(t, s, artifacts.PacksPrefix)
	_, err := Sweep(t.Context(), s, SweepOptions{Now: time.Now().Add(2 * DefaultGrace)})
	if !errors.Is(err, errdefs.ErrDataLoss) {
		t.Errorf("sweep: %v, want data loss", err)
	}
	if got := keys(t, s, artifacts.PacksPrefix); len(got) != len(packs) {
		t.Errorf("%d packs of %d are left", len(got), len(packs))
	}
}
