// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

func TestCopyIsTheSameSnapshot(t *testing.T) {
	from, to := openStore(t, "mem://"), openStore(t, fileURL(t.TempDir()))
	here, there := newNode(t), newNode(t)
	here.write(0, "a", "one")
	image := testImage(1, 3000)
	m, _ := here.commit(from, artifacts.Full, epoch, image, "")
	scratch := t.TempDir()
	t.Setenv("TMPDIR", scratch)
	if _, err := Copy(t.Context(), from, to, m.ID, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := Copy(t.Context(), from, to, m.ID, nil); !errors.Is(err, errdefs.ErrAlreadyExists) {
		t.Errorf("copy again: %v, want already exists", err)
	}
	if diff := cmp.Diff(keys(t, from, ""), keys(t, to, "")); diff != "" {
		t.Errorf("objects (-from +to):\n%s", diff)
	}
	dir, _, err := there.fetch(to, m.ID, false)
	if err != nil {
		t.Fatal(err)
	}
	if !maps.EqualFunc(image, readImage(t, dir), bytes.Equal) || !maps.Equal(here.tree(), there.tree()) {
		t.Error("what was fetched from the copy is something else")
	}
	if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
		t.Errorf("left in the scratch directory: %v, %v", left, err)
	}
}

func TestCopyRefusesDamage(t *testing.T) {
	from := openStore(t, "mem://")
	n := newNode(t)
	n.write(0, "a", "one")
	m, _ := n.commit(from, artifacts.Full, epoch, testImage(1, 100), "")
	for _, key := range objectsOf(t, from, m) {
		to := openStore(t, "mem://")
		good := mustRead(t, from, key)
		bad := bytes.Clone(good)
		bad[len(bad)/2] ^= 1
		mustPut(t, from, key, bad)
		if _, err := Copy(t.Context(), from, to, m.ID, nil); !errors.Is(err, errdefs.ErrDataLoss) {
			t.Errorf("copy with a flipped bit in %s: %v, want data loss", key, err)
		}
		if _, err := Get(t.Context(), to, m.ID); !errors.Is(err, errdefs.ErrNotFound) {
			t.Errorf("the copy is visible: %v", err)
		}
		mustPut(t, from, key, good)
	}
}

// A brief store takes some objects, one after another, and then dies.
type brief struct {
	bucket.Store
	mu   sync.Mutex
	left int
}

func (b *brief) Put(ctx context.Context, key string, body io.ReaderAt, size int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left == 0 {
		return errKilled
	}
	b.left--
	return b.Store.Put(ctx, key, body, size)
}

// A copy that was interrupted goes on where it was, and one of a later
// generation sends what is new.
func TestCopiesDoNotSendWhatIsThere(t *testing.T) {
	from, to := openStore(t, "mem://"), openStore(t, "mem://")
	n := newNode(t)
	n.plain = 0
	const size = 64 << 20
	n.fillVolume(0, size)
	first, _ := n.commit(from, artifacts.Data, epoch, nil, "")
	if _, err := Copy(t.Context(), from, &brief{Store: to, left: 2}, first.ID, nil); !errors.Is(err, errKilled) {
		t.Fatalf("copy into a store that dies: %v", err)
	}
	there := int64(0)
	for info, err := range to.List(t.Context(), artifacts.PacksPrefix) {
		if err != nil {
			t.Fatal(err)
		}
		there += info.Size
	}
	if there == 0 || there > size/2 {
		t.Fatalf("%d bytes of %d were copied", there, size)
	}
	counted := bucket.Count(to)
	if _, err := Copy(t.Context(), from, counted, first.ID, nil); err != nil {
		t.Fatal(err)
	}
	if got := counted.Sent(); got > size+1<<20-there {
		t.Errorf("%d bytes were there, and %d of %d were sent", there, got, size)
	}

	n.write(0, "small", "new")
	second, _ := n.commit(from, artifacts.Data, epoch.Add(time.Second), nil, first.ID)
	before := counted.Sent()
	if _, err := Copy(t.Context(), from, counted, second.ID, nil); err != nil {
		t.Fatal(err)
	}
	if got := counted.Sent() - before; got > 1<<20 {
		t.Errorf("%d bytes were sent for a small file", got)
	}
	for _, m := range []*artifacts.Manifest{first, second} {
		if _, err := Verify(t.Context(), to, m.ID, Deep, nil); err != nil {
			t.Error(err)
		}
	}
}
