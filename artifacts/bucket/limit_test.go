// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package bucket_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/ateom/ateom/artifacts/bucket/storetest"
)

func TestLimitedStore(t *testing.T) {
	storetest.Run(t, 100, func(t *testing.T) bucket.Store {
		return openStore(t, "mem://?max_requests=3&max_bytes_per_second=2000000000")
	})
}

func TestBandwidthIsBounded(t *testing.T) {
	const perSecond, size = 4_000_000, 1_000_000
	s := openStore(t, fmt.Sprintf("mem://?max_bytes_per_second=%d", perSecond))
	started := time.Now()
	data := storetest.Bytes(1, size)
	if err := s.Put(t.Context(), "o", bytes.NewReader(data), size); err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.ReadAll(t.Context(), s, "o", size); err != nil {
		t.Fatal(err)
	}
	// 64 KiB go at once.
	if took, want := time.Since(started), time.Duration(2*size-64<<10)*time.Second/perSecond; took < want {
		t.Errorf("2 MB took %s, want at least %s", took, want)
	}
}

// A crowdedStore counts the Puts that are under way, and has each wait for
// another one or for its turn to be counted.
type crowdedStore struct {
	bucket.Store
	now, most atomic.Int32
	gate      chan struct{}
}

func (c *crowdedStore) Put(ctx context.Context, key string, body io.ReaderAt, size int64) error {
	n := c.now.Add(1)
	defer c.now.Add(-1)
	for old := c.most.Load(); n > old && !c.most.CompareAndSwap(old, n); old = c.most.Load() {
	}
	<-c.gate
	return c.Store.Put(ctx, key, body, size)
}

func TestRequestsAreBounded(t *testing.T) {
	const writers, bound = 20, 3
	crowded := &crowdedStore{Store: openStore(t, "mem://"), gate: make(chan struct{})}
	s := bucket.Limit(crowded, bucket.Limits{Requests: bound})
	var wg sync.WaitGroup
	errs := make([]error, writers)
	for i := range writers {
		wg.Go(func() { errs[i] = s.Put(t.Context(), fmt.Sprint("o", i), bytes.NewReader(nil), 0) })
	}
	for range writers {
		crowded.gate <- struct{}{}
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if most := crowded.most.Load(); most > bound || most == 0 {
		t.Errorf("%d at a time, want at most %d", most, bound)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var open []io.Closer
	for range bound {
		r, err := s.Get(ctx, "o1", 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, r)
	}
	cancel()
	if _, err := s.Get(ctx, "o1", 0, -1); !errors.Is(err, context.Canceled) {
		t.Errorf("one more, cancelled: %v", err)
	}
	for _, r := range open {
		for range 2 { // closing twice gives back one turn
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}
