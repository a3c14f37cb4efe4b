// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/artifacts/local"
)

// What the page cache has is taken from there, all the rest is read around it.
func TestLocalPagesAreReadTheWayThatTheyAreThere(t *testing.T) {
	const size = 3*readAhead + chunkSize + 100 // the last chunk is no whole page
	dir, content := sampleSnapshot(t, size)
	recipe, err := local.ReadRecipe(dir, artifacts.PartPages)
	must(t, err)
	dropCached(t, dir)
	path := filepath.Join(dir, "image", "pages.img")
	inCache := func(off, n int64) uint64 {
		t.Helper()
		f, err := os.Open(path)
		must(t, err)
		defer f.Close()
		var c unix.Cachestat_t
		must(t, unix.Cachestat(uint(f.Fd()), &unix.CachestatRange{Off: uint64(off), Len: uint64(n)}, &c, 0))
		return c.Cache * pageSize
	}
	// The second stretch was read a moment ago.
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	must(t, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM)) // and nothing beyond it
	_, err = io.Copy(io.Discard, io.NewSectionReader(f, readAhead, readAhead))
	must(t, err)

	s := newLocalSource(f, recipe, newStatus("", job.Restore))
	defer s.close()
	for i := range recipe.Len() {
		c := recipe.Chunk(i)
		b := newBuffer(int(c.Length))
		b.b = b.b[:c.Length]
		must(t, s.readChunk(t.Context(), i, b.b))
		if !bytes.Equal(b.b, content[c.Offset:c.Offset+int64(c.Length)]) {
			t.Fatalf("chunk %d is another one", i)
		}
		b.free()
	}
	for w, want := range []int32{direct, cached, direct} {
		if got := s.ways[w].Load(); got != want {
			t.Errorf("stretch %d was read in way %d, want %d", w, got, want)
		}
	}
	if n := inCache(0, readAhead); n != 0 {
		t.Errorf("%d bytes of what was read around the page cache are in it", n)
	}
}

// A file system that cannot is read as ever.
func TestLocalPagesAreReadWithoutDirectAccess(t *testing.T) {
	dir, content := sampleSnapshot(t, readAhead)
	recipe, err := local.ReadRecipe(dir, artifacts.PartPages)
	must(t, err)
	dropCached(t, dir)
	f, err := os.Open(filepath.Join(dir, "image", "pages.img"))
	must(t, err)
	s := newLocalSource(f, recipe, newStatus("", job.Restore))
	defer s.close()
	s.direct.Close()
	s.direct = nil
	got := make([]byte, chunkSize)
	must(t, s.readChunk(t.Context(), 1, got))
	if !bytes.Equal(got, content[chunkSize:2*chunkSize]) {
		t.Error("the chunk is another one")
	}
}
