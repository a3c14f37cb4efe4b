// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/artifacts/local"
	"github.com/ateom/ateom/artifacts/transfer"
)

// runJob has package transfer do a job: each request but the first one goes
// out when the one before has been answered.
func runJob(t testing.TB, requests ...job.Request) {
	t.Helper()
	in, toJob := io.Pipe()
	fromJob, out := io.Pipe()
	served := make(chan error, 1)
	go func() {
		err := transfer.Serve(t.Context(), in, out)
		out.CloseWithError(err)
		served <- err
	}()
	defer func() {
		toJob.Close()
		fromJob.Close()
		<-served
	}()
	send := json.NewEncoder(toJob)
	receive := json.NewDecoder(fromJob)
	for i := range requests {
		requests[i].Version = job.Version
		must(t, send.Encode(requests[i]))
		for answered := false; !answered; {
			var e job.Event
			must(t, receive.Decode(&e))
			switch e.Kind {
			case job.Failed:
				t.Fatalf("%s: %s", requests[i].Verb, e.Error)
			case job.Ready, job.Captured, job.Done:
				answered = true
			}
		}
	}
}

// upload commits the saved image in draft to a store in a directory and
// returns the store's URL and directory, and the snapshot's id.
func upload(t testing.TB, draft string) (url, dir string, id artifacts.ID) {
	t.Helper()
	dir = t.TempDir()
	url = "file://" + dir
	id = artifacts.NewID(time.Now())
	runJob(t,
		job.Request{Verb: job.Commit, Dir: draft, Store: job.Store{URL: url}, ID: id, Scope: artifacts.Full},
		job.Request{Verb: job.Capture},
		job.Request{Verb: job.Upload, Manifest: &artifacts.Manifest{
			Format: artifacts.FormatVersion, ID: id, Created: id.Time().UTC(), Scope: artifacts.Full,
			Sandbox: artifacts.Sandbox{ID: "guest", Containers: []artifacts.Container{{ID: "guest"}}},
			Runtime: &artifacts.Runtime{Name: "runsc", Version: "test", SHA256: "00"},
			Machine: &artifacts.Machine{Arch: "amd64", PageSize: pageSize},
		}})
	return url, dir, id
}

// fetchLazily brings all but the pages of a snapshot into a new directory.
func fetchLazily(t testing.TB, url string, id artifacts.ID) string {
	t.Helper()
	dir := privateDir(t)
	runJob(t, job.Request{Verb: job.Fetch, Dir: dir, Store: job.Store{URL: url}, ID: id, Scope: artifacts.Full, Lazy: true})
	if exists(t, filepath.Join(dir, "image", "pages.img")) {
		t.Fatal("the pages were fetched")
	}
	return dir
}

func TestSandboxWakesFromAStoreAndItsCloneFromTheCache(t *testing.T) {
	s := newSandbox(t, "-random=24")
	s.start()
	before := s.ask("touch")
	draft, err := s.save()
	if err != nil {
		t.Fatal(err)
	}
	s.delete()
	url, storeDir, id := upload(t, draft)
	must(t, os.RemoveAll(draft))
	cache := privateDir(t)
	statusFile := filepath.Join(t.TempDir(), "status")
	if err := s.restore(job.Seat{
		Version: job.SeatVersion, Mode: job.Restore, Dir: fetchLazily(t, url, id),
		Store: job.Store{URL: url}, Cache: job.Cache{Dir: cache, Size: 1 << 30}, Status: statusFile,
	}); err != nil {
		t.Fatal(err)
	}
	sameMemory(t, before, s.ask("sum"))
	if st := readStatus(t, statusFile); st.Error != "" || len(st.Warnings) > 0 {
		t.Errorf("status says %q, warns %q", st.Error, st.Warnings)
	}
	s.delete()

	// A clone on this node reads nothing from the store any more.
	packs := filepath.Join(storeDir, "packs")
	hidden := filepath.Join(t.TempDir(), "packs")
	dir := fetchLazily(t, url, id)
	must(t, os.Rename(packs, hidden))
	s.rewind(before)
	if err := s.restore(job.Seat{
		Version: job.SeatVersion, Mode: job.Restore, Dir: dir, Store: job.Store{URL: url}, Cache: job.Cache{Dir: cache, Size: 1 << 30},
	}); err != nil {
		t.Fatal(err)
	}
	sameMemory(t, before, s.ask("sum"))
}

// remote returns the pages of a saved sample as they lie in a store, its bytes,
// and the directory of the store.
func remote(t *testing.T, size int, wrap func(bucket.Store) bucket.Store) (s *remoteSource, content []byte, storeDir string) {
	t.Helper()
	draft, content := sampleSnapshot(t, size)
	url, storeDir, id := upload(t, draft)
	store, err := bucket.Open(t.Context(), url)
	must(t, err)
	t.Cleanup(func() { store.Close() })
	recipe, err := local.ReadRecipe(fetchLazily(t, url, id), artifacts.PartPages)
	must(t, err)
	if wrap != nil {
		store = wrap(store)
	}
	s = newRemoteSource(t.Context(), bucket.Objects{Store: store}, recipe, nil, newStatus("", job.Restore))
	t.Cleanup(func() { must(t, s.close()) })
	return s, content, storeDir
}

// readSource reads all chunks of s, four at a time.
func readSource(ctx context.Context, s source) ([]byte, error) {
	r := s.recipe()
	out := make([]byte, r.Size())
	var wg sync.WaitGroup
	errs := make(chan error, r.Len())
	slots := make(chan struct{}, 4)
	for i := range r.Len() {
		c := r.Chunk(i)
		if c.Zero() {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := s.readChunk(ctx, i, out[c.Offset:c.Offset+int64(c.Length)]); err != nil {
				errs <- err
			}
		})
	}
	wg.Wait()
	close(errs)
	return out, <-errs
}

func TestRemoteSourceReadsWhatWasSaved(t *testing.T) {
	s, content, _ := remote(t, 3<<20+4096, nil)
	got, err := readSource(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, content) {
		t.Error("read other bytes")
	}
	if n := len(s.extents); n > s.r.Len()/2 {
		t.Errorf("%d requests for %d chunks", n, s.r.Len())
	}
}

func TestRemoteSourceRefusesDamagedPacks(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, path string){
		"bit flipped": func(t *testing.T, path string) { flip(t, path, 1000) },
		"truncated":   func(t *testing.T, path string) { must(t, os.Truncate(path, 1000)) },
		"emptied":     func(t *testing.T, path string) { must(t, os.Truncate(path, 0)) },
		"deleted":     func(t *testing.T, path string) { must(t, os.Remove(path)) },
	} {
		t.Run(name, func(t *testing.T) {
			s, _, storeDir := remote(t, 1<<20, nil)
			must(t, filepath.WalkDir(filepath.Join(storeDir, "packs"), func(path string, e fs.DirEntry, err error) error {
				if err == nil && !e.IsDir() {
					damage(t, path)
				}
				return err
			}))
			_, err := readSource(t.Context(), s)
			if !errdefs.IsDataLoss(err) {
				t.Fatalf("error %v, want data loss", err)
			}
			if !strings.Contains(err.Error(), "packs/") {
				t.Errorf("error %q does not name the object", err)
			}
		})
	}
}

// A troubledStore answers every second request with trouble.
type troubledStore struct {
	bucket.Store
	trouble func(r io.ReadCloser, err error) (io.ReadCloser, error)
	gets    atomic.Int64
}

func (s *troubledStore) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	r, err := s.Store.Get(ctx, key, off, n)
	if s.gets.Add(1)%2 == 1 {
		return s.trouble(r, err)
	}
	return r, err
}

// A brokenReader breaks off after some bytes.
type brokenReader struct {
	io.Reader
	io.Closer
	left int
}

func (r *brokenReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, fmt.Errorf("connection reset: %w", errdefs.ErrUnavailable)
	}
	n, err := r.Reader.Read(p[:min(len(p), r.left)])
	r.left -= n
	return n, err
}

func TestRemoteSourceTriesAgain(t *testing.T) {
	for name, trouble := range map[string]func(io.ReadCloser, error) (io.ReadCloser, error){
		"refused": func(r io.ReadCloser, err error) (io.ReadCloser, error) {
			if r != nil {
				r.Close()
			}
			return nil, fmt.Errorf("503: %w", errdefs.ErrUnavailable)
		},
		"cut": func(r io.ReadCloser, err error) (io.ReadCloser, error) {
			return &brokenReader{Reader: r, Closer: r, left: 1000}, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			fast := bucket.Policy{Attempts: 5, First: time.Millisecond, Longest: time.Millisecond, Idle: 30 * time.Second}
			s, content, _ := remote(t, 2<<20, func(b bucket.Store) bucket.Store {
				return bucket.Retry(&troubledStore{Store: b, trouble: trouble}, fast)
			})
			got, err := readSource(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, content) {
				t.Error("read other bytes")
			}
		})
	}
}

// A stuckStore never answers.
type stuckStore struct{ bucket.Store }

func (stuckStore) Get(ctx context.Context, _ string, _, _ int64) (io.ReadCloser, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestRemoteSourceClosesWhileItsStoreIsStuck(t *testing.T) {
	s, _, _ := remote(t, 2<<20, func(b bucket.Store) bucket.Store { return stuckStore{b} })
	all := make([]int, s.r.Len())
	for i := range all {
		all[i] = i
	}
	s.prefetch(all)
	ctx, cancel := context.WithCancel(t.Context())
	read := make(chan error)
	go func() {
		_, err := readSource(ctx, s)
		read <- err
	}()
	cancel()
	if err := <-read; err == nil {
		t.Error("read from a store that does not answer")
	}
	// The clean-up closes the source, which must not hang.
}
