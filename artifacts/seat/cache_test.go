// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/artifacts/local"
)

// countedStore counts the bytes that are read of it.
type countedStore struct {
	Store
	bytes *atomic.Int64
}

func (s countedStore) ReadRange(ctx context.Context, key string, offset int64, p []byte) error {
	s.bytes.Add(int64(len(p)))
	return s.Store.ReadRange(ctx, key, offset, p)
}

// cachedSource returns a source that opens its store and its cache as a gofer of its own does.
func cachedSource(t *testing.T, url, dir, cacheDir string, fetched *atomic.Int64) *remoteSource {
	t.Helper()
	store, err := bucket.Open(t.Context(), url)
	must(t, err)
	t.Cleanup(func() { store.Close() })
	root, err := openPrivateRoot(dir)
	must(t, err)
	snap := &snapshot{
		root: root, status: newStatus("", job.Restore), store: countedStore{bucket.Objects{Store: store}, fetched},
		seat: &job.Seat{Dir: dir, Cache: job.Cache{Dir: cacheDir, Size: 1 << 30}},
	}
	t.Cleanup(func() { root.Close() })
	recipe, err := local.ReadRecipe(dir, artifacts.PartPages)
	must(t, err)
	s, err := snap.openRemote(t.Context(), recipe)
	must(t, err)
	return s.(*remoteSource)
}

func TestForksFetchOnceAndCachedDamageIsMended(t *testing.T) {
	draft, content := sampleSnapshot(t, 6<<20+4096)
	url, storeDir, id := upload(t, draft)
	dir, cacheDir := fetchLazily(t, url, id), filepath.Join(t.TempDir(), "cache")
	var packs int64
	must(t, filepath.WalkDir(filepath.Join(storeDir, "packs"), func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			var fi fs.FileInfo
			fi, err = e.Info()
			packs += fi.Size()
		}
		return err
	}))
	var fetched atomic.Int64
	readAll := func(sources int) {
		t.Helper()
		var wg sync.WaitGroup
		for range sources {
			s := cachedSource(t, url, dir, cacheDir, &fetched)
			wg.Go(func() {
				if got, err := readSource(t.Context(), s); err != nil || !bytes.Equal(got, content) {
					t.Errorf("read other bytes: %v", err)
				}
				must(t, s.close())
			})
		}
		wg.Wait()
	}
	readAll(6)
	// Extents share blocks with their neighbours.
	if n := fetched.Swap(0); n < packs/2 || n > packs+packs/10 {
		t.Errorf("six forks fetched %d bytes of %d", n, packs)
	}
	readAll(2)
	if n := fetched.Load(); n != 0 {
		t.Errorf("fetched %d bytes that were in the cache", n)
	}

	files, err := filepath.Glob(filepath.Join(cacheDir, "????????????????????????????????????????????????????????????????"))
	must(t, err)
	if len(files) == 0 {
		t.Fatal("nothing is in the cache")
	}
	for _, name := range files {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		must(t, err)
		_, err = f.WriteAt([]byte("damage"), 10_000)
		must(t, err)
		must(t, f.Close())
	}
	readAll(1)
	if n := fetched.Swap(0); n == 0 || n > int64(len(files))*(extentBytes+8<<10) {
		t.Errorf("fetched %d bytes for one damaged place in each of %d files", n, len(files))
	}
	readAll(1)
	if n := fetched.Load(); n != 0 {
		t.Errorf("the cache was not mended: fetched %d bytes", n)
	}

	// Damage that the store has too is refused.
	for _, name := range files {
		for _, path := range []string{name, filepath.Join(storeDir, "packs", filepath.Base(name)[:2], filepath.Base(name))} {
			data, err := os.ReadFile(path)
			must(t, err)
			data[10_000] ^= 1
			must(t, os.WriteFile(path, data, 0o600))
		}
	}
	s := cachedSource(t, url, dir, cacheDir, &fetched)
	if _, err := readSource(t.Context(), s); !errdefs.IsDataLoss(err) {
		t.Errorf("read damaged packs: %v, want data loss", err)
	}
	must(t, s.close())
}
