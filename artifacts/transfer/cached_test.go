// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/ateom/ateom/artifacts/job"
)

// A readCounter counts the reads of objects other than manifests.
type readCounter struct {
	bucket.Store
	mu    sync.Mutex
	reads map[string]int // by object and range
}

func (c *readCounter) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if !strings.HasSuffix(key, "manifest.json") {
		c.mu.Lock()
		c.reads[fmt.Sprintf("%s %d+%d", key, offset, length)]++
		c.mu.Unlock()
	}
	return c.Store.Get(ctx, key, offset, length)
}

// take returns the reads since the last take.
func (c *readCounter) take() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	reads := c.reads
	c.reads = map[string]int{}
	return reads
}

// fetchCached is fetch through a cache.
func (n *node) fetchCached(s bucket.Store, id artifacts.ID, dir, cacheDir string) error {
	_, _, err := Fetch(n.t.Context(), s, &job.Request{
		Dir: dir, ID: id, Volumes: n.volumes, Cache: job.Cache{Dir: cacheDir, Size: 1 << 30},
	}, nil)
	return err
}

func TestManyFetchesOfASnapshotAreOne(t *testing.T) {
	for encoding, plain := range encodings {
		t.Run(string(encoding), func(t *testing.T) {
			s := &readCounter{Store: openStore(t, fileURL(t.TempDir())), reads: map[string]int{}}
			here := newNode(t)
			here.plain = plain
			here.fillVolume(0, 12<<20)
			here.write(1, "counter", "42")
			m, _ := here.commit(s, artifacts.Full, epoch, testImage(1, 1000), "")
			want := here.tree()

			s.take()
			cacheDir := filepath.Join(t.TempDir(), "cache")
			check := func(restores int) {
				t.Helper()
				var wg sync.WaitGroup
				for range restores {
					there, dir := newNode(t), t.TempDir()
					wg.Go(func() {
						if err := there.fetchCached(s, m.ID, dir, cacheDir); err != nil {
							t.Error(err)
							return
						}
						if !maps.Equal(want, there.tree()) {
							t.Error("the fetched volumes differ")
						}
						if _, err := VerifyLocal(t.Context(), dir, nil); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
			}
			check(8)
			reads := s.take()
			for what, n := range reads {
				if n != 1 {
					t.Errorf("eight fetches at once read %s %d times", what, n)
				}
			}
			if len(reads) < len(m.Parts) {
				t.Errorf("%d parts came with the reads %v", len(m.Parts), reads)
			}
			check(1)
			if reads := s.take(); len(reads) != 0 {
				t.Errorf("what is in the cache was read: %v", reads)
			}

			// A cache promises nothing: damage in it is mended, whatever it is of.
			files, err := os.ReadDir(cacheDir)
			if err != nil {
				t.Fatal(err)
			}
			damaged := 0
			for _, e := range files {
				path := filepath.Join(cacheDir, e.Name())
				data, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if len(data) == 0 {
					continue // the lock
				}
				data[len(data)/3] ^= 1
				if err := os.WriteFile(path, data, 0o600); err != nil {
					t.Fatal(err)
				}
				damaged++
			}
			check(1)
			if reads := s.take(); len(reads) == 0 || damaged == 0 {
				t.Errorf("%d damaged files, and these reads: %v", damaged, reads)
			}
			check(1) // brings what the mending has read past the cache
			s.take()
			check(1)
			if reads := s.take(); len(reads) != 0 {
				t.Errorf("the cache was not mended: %v", reads)
			}
		})
	}
}
