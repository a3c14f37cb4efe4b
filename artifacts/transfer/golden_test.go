// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"bytes"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/ateom/ateom/artifacts/bucket/storetest"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden store of this version")

// goldenImage is small, and has a chunk of each kind.
func goldenImage() map[string][]byte {
	pages := bytes.Repeat([]byte("a page of text. "), 256)
	pages = append(pages, make([]byte, 3*4096)...)
	pages = append(pages, storetest.Bytes(1, 4096)...)
	return map[string][]byte{
		artifacts.PartKernel:    storetest.Bytes(2, 300),
		artifacts.PartPagesMeta: []byte("meta"),
		artifacts.PartPages:     pages,
	}
}

// goldenStores gives check the one snapshot of each store in testdata whose
// name begins with kind. With -update, the current version's is made first.
func goldenStores(t *testing.T, kind string, make func(s bucket.Store), check func(dir string, s bucket.Store, m *artifacts.Manifest)) {
	if *update {
		dir, err := filepath.Abs(filepath.Join("testdata", kind+"-"+artifacts.FormatVersion))
		if err == nil {
			err = os.RemoveAll(dir)
		}
		if err != nil {
			t.Fatal(err)
		}
		make(openStore(t, fileURL(dir)))
	}
	dirs, err := filepath.Glob("testdata/" + kind + "-*")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("golden stores: %q, %v", dirs, err)
	}
	for _, dir := range dirs {
		// A copy, because opening a store may make directories.
		copied := t.TempDir()
		if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		s := openStore(t, fileURL(copied))
		all, err := List(t.Context(), s)
		if err != nil || len(all) != 1 {
			t.Fatalf("%s: %d snapshots, %v", dir, len(all), err)
		}
		if _, err := Verify(t.Context(), s, all[0].ID, Deep, nil); err != nil {
			t.Errorf("%s: %v", dir, err)
		}
		check(dir, s, all[0])
	}
}

// TestGoldenStoresStayReadable fetches the snapshots of all released versions.
func TestGoldenStoresStayReadable(t *testing.T) {
	goldenStores(t, "store", func(s bucket.Store) {
		n := newNode(t)
		n.write(0, "notes/today.txt", "remember")
		n.commit(s, artifacts.Full, epoch, goldenImage(), "")
	}, func(dir string, s bucket.Store, m *artifacts.Manifest) {
		there := newNode(t)
		image, _, err := there.fetch(s, m.ID, false)
		if err != nil {
			t.Errorf("%s: %v", dir, err)
			return
		}
		if !maps.EqualFunc(goldenImage(), readImage(t, image), bytes.Equal) {
			t.Errorf("%s: the image is another one", dir)
		}
		if diff := cmp.Diff(map[string]string{"home/notes/today.txt": "remember"}, there.tree()); diff != "" {
			t.Errorf("%s: volumes (-want +got):\n%s", dir, diff)
		}
	})
}

// TestGoldenChunkedVolumesStayReadable does so for volumes of encoding Chunks.
func TestGoldenChunkedVolumesStayReadable(t *testing.T) {
	want := map[string]string{"home/large": string(storetest.Bytes(3, 300_000)) + string(make([]byte, 200_000)), "home/notes/today.txt": "remember"}
	goldenStores(t, "chunked", func(s bucket.Store) {
		n := newNode(t)
		n.plain = 0
		n.write(0, "large", want["home/large"])
		n.write(0, "notes/today.txt", "remember")
		n.commit(s, artifacts.Data, epoch, nil, "")
	}, func(dir string, s bucket.Store, m *artifacts.Manifest) {
		there := newNode(t)
		if _, _, err := there.fetch(s, m.ID, false); err != nil || m.Parts[0].Encoding != artifacts.Chunks {
			t.Errorf("%s: encoding %q, %v", dir, m.Parts[0].Encoding, err)
		}
		if !maps.Equal(want, there.tree()) {
			t.Errorf("%s: the volumes differ", dir)
		}
	})
}

// TestTwentyGenerationsStayExactAndCheap commits, resumes and changes a
// snapshot twenty times: the bytes stay exact and the cost stays flat.
func TestTwentyGenerationsStayExactAndCheap(t *testing.T) {
	s := openStore(t, fileURL(t.TempDir()))
	image := testImage(1, 2048) // 8 MiB
	parent := artifacts.ID("")
	var costs []int64
	for generation := range 20 {
		here, there := newNode(t), newNode(t)
		here.write(0, "generation", string(rune('a'+generation)))
		copy(image[artifacts.PartPages][(generation*100)<<12:], storetest.Bytes(byte(generation), 64<<10))
		m, sent := here.commit(s, artifacts.Full, epoch.Add(time.Duration(generation)*time.Second), image, parent)
		costs = append(costs, sent)
		dir, _, err := there.fetch(s, m.ID, false)
		if err != nil {
			t.Fatal(err)
		}
		got := readImage(t, dir)
		if !maps.EqualFunc(image, got, bytes.Equal) || !maps.Equal(here.tree(), there.tree()) {
			t.Fatalf("generation %d is another one", generation)
		}
		image, parent = got, m.ID
	}
	if worst := costs[0] / 10; costs[1] > worst || costs[19] > worst {
		t.Errorf("bytes sent a generation: %d", costs)
	}
}

// TestRealServers goes through a life of two snapshots on each of them.
func TestRealServers(t *testing.T) {
	for name, start := range map[string]func(testing.TB) (string, string){"s3": storetest.S3, "gs": storetest.GCS, "azblob": storetest.Azure} {
		t.Run(name, func(t *testing.T) {
			url, _ := start(t)
			s := openStore(t, url)
			here, there := newNode(t), newNode(t)
			here.write(0, "a", "one")
			image := testImage(1, 6000) // packs, more than one
			first, _ := here.commit(s, artifacts.Full, epoch, image, "")
			second, sent := here.commit(s, artifacts.Full, epoch.Add(time.Second), image, first.ID)
			if sent > 64<<10 {
				t.Errorf("unchanged, %d bytes were sent", sent)
			}
			if err := Remove(t.Context(), s, first.ID); err != nil {
				t.Fatal(err)
			}
			if _, err := Sweep(t.Context(), s, SweepOptions{Now: time.Now().Add(2 * DefaultGrace)}); err != nil {
				t.Fatal(err)
			}
			all, err := List(t.Context(), s)
			if err != nil || len(all) != 1 || all[0].ID != second.ID {
				t.Fatalf("list: %d snapshots, %v", len(all), err)
			}
			dir, _, err := there.fetch(s, second.ID, false)
			if err != nil {
				t.Fatal(err)
			}
			if !maps.EqualFunc(image, readImage(t, dir), bytes.Equal) || !maps.Equal(here.tree(), there.tree()) {
				t.Error("what was fetched is something else")
			}
			if _, err := Verify(t.Context(), s, second.ID, Deep, nil); err != nil {
				t.Error(err)
			}
		})
	}
}
