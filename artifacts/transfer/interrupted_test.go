// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/durabledir"
	"github.com/containerd/errdefs"
)

// A drying store gives some ranges of packs and then no more.
type dryingStore struct {
	bucket.Store
	left atomic.Int32
}

func (d *dryingStore) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if strings.HasPrefix(key, artifacts.PacksPrefix) && d.left.Add(-1) < 0 {
		return nil, &bucket.Error{Op: "get", Key: key, Store: d.String(), Class: errdefs.ErrUnavailable}
	}
	return d.Store.Get(ctx, key, offset, length)
}

// A restore that was interrupted leaves no half volume, and the next one
// fetches what the first did not.
func TestInterruptedRestoreGoesOn(t *testing.T) {
	s := openStore(t, "mem://")
	here, there := newNode(t), newNode(t)
	here.plain = 0
	here.fillVolume(0, 40<<20)
	m, _ := here.commit(s, artifacts.Data, epoch, nil, "")
	cached := job.Cache{Dir: filepath.Join(t.TempDir(), "cache"), Size: 1 << 30}
	request := &job.Request{ID: m.ID, Volumes: there.volumes, Cache: cached}

	dry := &dryingStore{Store: s}
	dry.left.Store(12)
	if _, _, err := Fetch(t.Context(), dry, request, nil); !errors.Is(err, errdefs.ErrUnavailable) {
		t.Fatalf("fetch from a store that fails: %v", err)
	}
	if left := there.tree(); len(left) > 0 || durabledir.Marked(there.volumes[0].Path) {
		t.Errorf("a failed fetch leaves %d files", len(left))
	}

	// What a kill leaves: some files, and the mark.
	there.write(0, "large-0", "half")
	if err := durabledir.Mark(there.volumes[0].Path, string(m.ID)); err != nil {
		t.Fatal(err)
	}
	if err := durabledir.CheckWhole(there.volumes[0].Path); !errors.Is(err, errdefs.ErrFailedPrecondition) {
		t.Errorf("half a volume passes for a whole one: %v", err)
	}
	counted := bucket.Count(s)
	if _, warnings, err := Fetch(t.Context(), counted, request, nil); err != nil || len(warnings) > 0 {
		t.Fatalf("fetch: %q, %v", warnings, err)
	}
	if !maps.Equal(here.tree(), there.tree()) {
		t.Error("the volumes differ")
	}
	if err := durabledir.CheckWhole(there.volumes[0].Path); err != nil {
		t.Error(err)
	}
	if got := counted.Received(); got > 30<<20 {
		t.Errorf("%d bytes were fetched again", got)
	}

	// A cache that has gone bad is not believed.
	entries, err := os.ReadDir(cached.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		f, err := os.OpenFile(filepath.Join(cached.Dir, e.Name()), os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteAt([]byte("bad bytes"), 100_000)
			f.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	again := newNode(t)
	if _, _, err := Fetch(t.Context(), s, &job.Request{ID: m.ID, Volumes: again.volumes, Cache: cached}, nil); err != nil || !maps.Equal(here.tree(), again.tree()) {
		t.Errorf("fetch through a bad cache: %v", err)
	}
}
