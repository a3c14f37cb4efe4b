// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
)

// recipeOf returns a recipe of n different chunks.
func recipeOf(t testing.TB, n int) *artifacts.Recipe {
	t.Helper()
	r := new(artifacts.Recipe)
	for i := range n {
		must(t, r.Append(chunkSize, artifacts.Digest{1, byte(i), byte(i >> 8)}))
	}
	return r
}

func TestWorkingSetIsReadAsWritten(t *testing.T) {
	r := recipeOf(t, 1000)
	for _, chunks := range [][]int{nil, {0}, {999}, {5, 4, 3, 999, 0, 1, 2}} {
		w, err := decodeWorkingSet((&workingSet{root: r.Root(), chunks: chunks}).encode(), r)
		if err != nil {
			t.Fatalf("%v: %v", chunks, err)
		}
		if diff := cmp.Diff(chunks, w.chunks); diff != "" {
			t.Errorf("chunks (-want +got):\n%s", diff)
		}
	}
}

func TestWorkingSetOfOtherBytesIsRefused(t *testing.T) {
	r := recipeOf(t, 10)
	good := (&workingSet{root: r.Root(), chunks: []int{1, 2}}).encode()
	for name, body := range map[string][]byte{
		"empty":             nil,
		"short":             good[:20],
		"other magic":       append([]byte("ATEOMWS9"), good[8:]...),
		"of another part":   (&workingSet{root: recipeOf(t, 9).Root(), chunks: []int{1}}).encode(),
		"chunk behind":      (&workingSet{root: r.Root(), chunks: []int{10}}).encode(),
		"chunk before":      binary.AppendVarint(good[:40:40], -1),
		"number cut short":  append(good[:len(good):len(good)], 0x80),
		"number too large":  append(good[:len(good):len(good)], 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01),
		"chunks repeated":   (&workingSet{root: r.Root(), chunks: make([]int, 11)}).encode(),
		"longer than sense": make([]byte, maxWorkingSet+1),
	} {
		if w, err := decodeWorkingSet(body, r); err == nil {
			t.Errorf("%s: accepted as %v", name, w.chunks)
		}
	}
}

func FuzzDecodeWorkingSet(f *testing.F) {
	r := recipeOf(f, 100)
	f.Add((&workingSet{root: r.Root(), chunks: []int{3, 2, 99, 0}}).encode())
	f.Fuzz(func(t *testing.T, body []byte) {
		w, err := decodeWorkingSet(body, r)
		if err != nil {
			return
		}
		for _, i := range w.chunks {
			if i < 0 || i >= r.Len() {
				t.Fatalf("chunk %d", i)
			}
		}
	})
}

func TestReadyEndsTheRecord(t *testing.T) {
	s := newSandbox(t, "-random=48")
	s.start()
	before := s.ask("sum")
	draft, err := s.save()
	if err != nil {
		t.Fatal(err)
	}
	s.delete()
	control := filepath.Join(privateDir(t), "c")
	statusFile := filepath.Join(t.TempDir(), "status")
	seat := job.Seat{Version: job.SeatVersion, Mode: job.Restore, Dir: draft, Pace: job.PaceLazy, Control: control, Status: statusFile}
	if err := s.restore(seat); err != nil {
		t.Fatal(err)
	}
	s.ask("ping")
	tell(t, control, job.SeatControl{Pace: job.PaceFull})
	readStatus(t, statusFile)
	s.delete()

	recipe, err := (&snapshot{root: mustRoot(t, draft)}).recipe(artifacts.PartPages)
	must(t, err)
	body, err := os.ReadFile(filepath.Join(draft, workingSetName))
	must(t, err)
	w, err := decodeWorkingSet(body, recipe)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(w.chunks); n == 0 || n > recipe.Len()/2 {
		t.Errorf("%d of %d chunks were needed for one answer", n, recipe.Len())
	}

	// A record that lies changes nothing but the speed.
	must(t, os.WriteFile(filepath.Join(draft, workingSetName), []byte("nonsense"), 0o600))
	seat.Pace, seat.Control, seat.Status = "", "", filepath.Join(t.TempDir(), "status")
	s.rewind(before)
	if err := s.restore(seat); err != nil {
		t.Fatal(err)
	}
	sameMemory(t, before, s.ask("sum"))
	if st := readStatus(t, seat.Status); len(st.Warnings) != 1 || st.Error != "" {
		t.Errorf("status warns %q, says %q", st.Warnings, st.Error)
	}
}

// mustRoot opens dir until the end of the test.
func mustRoot(t testing.TB, dir string) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(dir)
	must(t, err)
	t.Cleanup(func() { root.Close() })
	return root
}
