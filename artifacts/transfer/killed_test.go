// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

// A mortal store is one whose user dies: of its requests the first left ones
// are answered. The one in which it dies may reach the store all the same.
type mortal struct {
	bucket.Store
	mu      sync.Mutex // guards left
	left    int
	reaches bool
}

var errKilled = errors.New("killed")

// dies counts a request, and says whether it is sent and whether it is answered.
func (m *mortal) dies() (sent bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left--
	switch {
	case m.left > 0:
		return true, nil
	case m.left == 0:
		return m.reaches, errKilled
	}
	return false, errKilled
}

func (m *mortal) change(do func() error) error {
	sent, killed := m.dies()
	if sent {
		if err := do(); err != nil && killed == nil {
			return err
		}
	}
	return killed
}

func (m *mortal) Put(ctx context.Context, key string, body io.ReaderAt, size int64) error {
	return m.change(func() error { return m.Store.Put(ctx, key, body, size) })
}

func (m *mortal) Delete(ctx context.Context, key string) error {
	return m.change(func() error { return m.Store.Delete(ctx, key) })
}

func (m *mortal) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if _, err := m.dies(); err != nil {
		return nil, err
	}
	return m.Store.Get(ctx, key, offset, length)
}

func (m *mortal) Stat(ctx context.Context, key string) (bucket.Info, error) {
	if _, err := m.dies(); err != nil {
		return bucket.Info{}, err
	}
	return m.Store.Stat(ctx, key)
}

func (m *mortal) List(ctx context.Context, prefix string) iter.Seq2[bucket.Info, error] {
	if _, err := m.dies(); err != nil {
		return func(yield func(bucket.Info, error) bool) { yield(bucket.Info{}, err) }
	}
	return m.Store.List(ctx, prefix)
}

// pruneAndSweep is what ctr-ateom snapshots prune and gc do.
func pruneAndSweep(ctx context.Context, s bucket.Store, keep Retention) error {
	all, err := List(ctx, s)
	if err != nil {
		return err
	}
	for _, m := range keep.Expired(all, time.Now()) {
		if err := Remove(ctx, s, m.ID); err != nil && !errors.Is(err, errdefs.ErrNotFound) {
			return err
		}
	}
	_, err = Sweep(ctx, s, SweepOptions{})
	return err
}

// TestRetentionMayBeKilledAtEveryRequest, while another node commits a child of
// a snapshot that goes. What stays is whole each time, and the next run frees all
// that is nobody's.
func TestRetentionMayBeKilledAtEveryRequest(t *testing.T) {
	here, other := newNode(t), newNode(t)
	for _, reaches := range []bool{false, true} {
		for at := 1; ; at++ {
			s := openStore(t, "mem://")
			here.write(0, "file", "content")
			image := testImage(1, 20)
			first, _ := here.commit(s, artifacts.Full, epoch, image, "")
			image[artifacts.PartPages] = append(image[artifacts.PartPages], testImage(2, 20)[artifacts.PartPages]...)
			second, _ := here.commit(s, artifacts.Full, epoch.Add(time.Second), image, first.ID)
			kept, _ := here.commit(s, artifacts.Full, epoch.Add(2*time.Second), testImage(3, 20), second.ID)

			id := artifacts.NewID(epoch.Add(3 * time.Second))
			d := other.draft(id, image)
			c, _, err := NewCommit(t.Context(), s, fullRequest(d.Dir(), id, second.ID))
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Capture(t.Context(), ""); err != nil {
				t.Fatal(err)
			}

			// Every object is old, but for what a removal has just written.
			old := &aged{Store: s, by: 2 * DefaultGrace, young: artifacts.TrashPrefix}
			victim := &mortal{Store: old, left: at, reaches: reaches}
			died := pruneAndSweep(t.Context(), victim, Retention{KeepLast: 1})
			if died != nil && !errors.Is(died, errKilled) {
				t.Fatalf("killed at request %d: %v", at, died)
			}

			if _, err := c.Upload(t.Context(), manifest(id, artifacts.Full), nil); err != nil {
				t.Fatalf("killed at request %d: the commit on another node: %v", at, err)
			}
			c.Close()
			if err := d.Abort(); err != nil {
				t.Fatal(err)
			}
			// Days later.
			later := &aged{Store: s, by: 2 * DefaultGrace, young: "nothing"}
			if err := pruneAndSweep(t.Context(), later, Retention{KeepLast: 2}); err != nil {
				t.Fatalf("killed at request %d: the next run: %v", at, err)
			}
			want := map[string]bool{}
			for _, id := range []artifacts.ID{kept.ID, id} {
				m, err := Verify(t.Context(), s, id, Deep, nil)
				if err != nil {
					t.Fatalf("killed at request %d: %v", at, err)
				}
				for _, key := range objectsOf(t, s, m) {
					want[key] = true
				}
			}
			left := keys(t, s, "")
			left = slices.DeleteFunc(left, func(key string) bool { return want[key] })
			if diff := cmp.Diff([]string{}, left); diff != "" {
				t.Fatalf("killed at request %d: nobody's objects are left (-want +got):\n%s", at, diff)
			}
			if died == nil {
				if at < 20 {
					t.Errorf("a prune and a sweep made %d requests", at)
				}
				break
			}
		}
	}
}
