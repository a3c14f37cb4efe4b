// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/ateom/ateom/artifacts/pack"
	"github.com/containerd/errdefs"
)

// A breakingStore takes some packs and then no more; it breaks when it has
// those that it takes, so that no put of them is cancelled under way.
type breakingStore struct {
	bucket.Store
	left  atomic.Int32
	taken sync.WaitGroup
}

func breakAfter(s bucket.Store, packs int) *breakingStore {
	b := &breakingStore{Store: s}
	b.left.Store(int32(packs))
	b.taken.Add(packs)
	return b
}

func (b *breakingStore) Put(ctx context.Context, key string, body io.ReaderAt, size int64) error {
	if !strings.HasPrefix(key, artifacts.PacksPrefix) {
		return b.Store.Put(ctx, key, body, size)
	}
	if b.left.Add(-1) < 0 {
		b.taken.Wait()
		return &bucket.Error{Op: "put", Key: key, Store: b.String(), Class: errdefs.ErrUnavailable}
	}
	defer b.taken.Done()
	return b.Store.Put(ctx, key, body, size)
}

func TestInterruptedUploadGoesOn(t *testing.T) {
	s := openStore(t, fileURL(t.TempDir()))
	here, there := newNode(t), newNode(t)
	image := testImage(1, 48<<10) // 192 MiB, ten packs of what does not compress
	broken := breakAfter(s, 6)
	_, _, err := here.tryCommit(t.Context(), broken, artifacts.Full, epoch, image, "")
	if !errors.Is(err, errdefs.ErrUnavailable) {
		t.Fatalf("commit into a store that breaks: %v", err)
	}
	if all, err := List(t.Context(), s); err != nil || len(all) > 0 {
		t.Errorf("after it the store lists %d snapshots, %v", len(all), err)
	}
	sentBefore := int64(0)
	for info, err := range s.List(t.Context(), artifacts.PacksPrefix) {
		if err != nil {
			t.Fatal(err)
		}
		sentBefore += info.Size
	}
	m, sent := here.commit(s, artifacts.Full, epoch.Add(time.Second), image, "")
	if total := packsSize(t, s); sent > total-sentBefore+1<<20 || sentBefore == 0 {
		t.Errorf("%d bytes were there, %d of %d were sent again", sentBefore, sent, total)
	}
	dir, _, err := there.fetch(s, m.ID, false)
	if err != nil {
		t.Fatal(err)
	}
	if !maps.EqualFunc(image, readImage(t, dir), bytes.Equal) {
		t.Error("the fetched image is another one")
	}
}

func TestInterruptedUploadGoesOnThoughMemoryHasChanged(t *testing.T) {
	s := openStore(t, fileURL(t.TempDir()))
	n := newNode(t)
	image := testImage(1, 48<<10)
	broken := breakAfter(s, 8)
	if _, _, err := n.tryCommit(t.Context(), broken, artifacts.Full, epoch, image, ""); !errors.Is(err, errdefs.ErrUnavailable) {
		t.Fatalf("commit into a store that breaks: %v", err)
	}
	there := packsSize(t, s)
	// The program went on meanwhile; what it wrote does not compress like what was there.
	pages := bytes.Clone(image[artifacts.PartPages])
	clear(pages[1<<20 : 1<<20+100_000])
	image = maps.Clone(image)
	image[artifacts.PartPages] = pages
	_, sent := n.commit(s, artifacts.Full, epoch.Add(time.Second), image, "")
	_, whole := newNode(t).commit(openStore(t, "mem://"), artifacts.Full, epoch, image, "")
	if there < 40<<20 || sent > whole-there+2*pack.Target {
		t.Errorf("%d bytes of %d were there, and %d were sent", there, whole, sent)
	}
}

func TestOldPacksAreSentAgain(t *testing.T) {
	s := openStore(t, "mem://")
	n := newNode(t)
	image := testImage(1, 600)
	_, first := n.commit(s, artifacts.Full, epoch, image, "")
	// Nothing refers to the packs any more, or soon will not: a sweep may take
	// them while the next commit relies on them.
	old := &aged{Store: s, by: maxResumeAge + time.Minute, young: "none"}
	if _, again := n.commit(old, artifacts.Full, epoch.Add(time.Second), image, ""); again < first-4096 {
		t.Errorf("%d bytes were sent, want %d again", again, first)
	}
}

func packsSize(t *testing.T, s bucket.Store) (n int64) {
	t.Helper()
	for info, err := range s.List(t.Context(), artifacts.PacksPrefix) {
		if err != nil {
			t.Fatal(err)
		}
		n += info.Size
	}
	return n
}
