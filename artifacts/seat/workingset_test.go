// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/artifacts/local"
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
	dir, content := sampleSnapshot(t, 64*chunkSize)
	recipe, err := local.ReadRecipe(dir, artifacts.PartPages)
	must(t, err)
	control := filepath.Join(privateDir(t), "c")
	f, err := takeSeat(t, job.Seat{Mode: job.Restore, Dir: dir, Control: control}).client().OpenRead("pages.img")
	must(t, err)
	defer f.Close()
	for _, chunk := range []int64{40, 7, 41} { // none is where the background begins
		readAll(t, f, chunk*chunkSize, pageSize)
	}
	tell(t, control, job.SeatControl{Pace: job.PaceFull})
	readAll(t, f, 50*chunkSize, pageSize)

	var w *workingSet
	must(t, poll(30*time.Second, func() error { // it may be half written
		body, err := os.ReadFile(filepath.Join(dir, workingSetName))
		if err == nil {
			w, err = decodeWorkingSet(body, recipe)
		}
		return err
	}))
	if diff := cmp.Diff([]int{40, 7, 41}, w.chunks); diff != "" {
		t.Errorf("chunks needed until ready (-want +got):\n%s", diff)
	}
	if got, _ := readAll(t, f, 0, 64*chunkSize); !bytes.Equal(got, content) {
		t.Error("read other bytes")
	}
}

func TestARecordThatLiesChangesNoByte(t *testing.T) {
	for name, record := range map[string]func(*artifacts.Recipe) []byte{
		"nonsense": func(*artifacts.Recipe) []byte { return []byte("nonsense") },
		"the wrong pages": func(r *artifacts.Recipe) []byte {
			return (&workingSet{root: r.Root(), chunks: []int{63, 62, 3}}).encode()
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, content := sampleSnapshot(t, 64*chunkSize)
			recipe, err := local.ReadRecipe(dir, artifacts.PartPages)
			must(t, err)
			must(t, os.WriteFile(filepath.Join(dir, workingSetName), record(recipe), 0o600))
			f, err := takeSeat(t, job.Seat{Mode: job.Restore, Dir: dir}).client().OpenRead("pages.img")
			must(t, err)
			defer f.Close()
			if got, _ := readAll(t, f, 0, 64*chunkSize); !bytes.Equal(got, content) {
				t.Error("read other bytes")
			}
		})
	}
}
