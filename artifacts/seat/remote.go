// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"container/list"
	"context"
	"fmt"
	"sync"

	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/cache"
	"github.com/ateom/ateom/artifacts/pack"
)

const (
	// remoteParallel requests are under way for what runsc asks: with 20 ms to
	// the first byte, two rounds of them bring the 32 MiB that a program waits
	// for at a fault.
	remoteParallel = 64
	// prefetchAhead more are under way for what it will ask, or have arrived and
	// have not been read: less than may be held, so that none is fetched twice.
	prefetchAhead = 64
	// maxHeld bounds the bytes kept of extents that have arrived and have not
	// been used up.
	maxHeld = 32 << 20
)

// A remoteSource reads chunks from packs in a bucket, many neighbours with one
// request, unless the node's cache has them.
type remoteSource struct {
	store   Store
	r       *artifacts.Recipe
	extents []extent
	of      []int32
	cache   *cache.Set // nil for none
	status  *status

	ctx     context.Context
	cancel  context.CancelFunc
	slots   chan struct{} // of prefetches
	fetches sync.WaitGroup

	mu   sync.Mutex
	live map[int32]*fetch
	held *list.List // of *fetch that have arrived, the oldest in front
	size int64      // of those, in bytes
}

// A fetch is an extent on its way or here.
type fetch struct {
	extent int32
	ready  chan struct{}
	data   []byte
	err    error
	left   int // chunks that nobody has read yet
	held   *list.Element
	slot   bool // it was prefetched, and is to give its slot back
}

// newRemoteSource reads the part with the located recipe r from store. It owns
// cache.
func newRemoteSource(ctx context.Context, store Store, r *artifacts.Recipe, cache *cache.Set, st *status) *remoteSource {
	ctx, cancel := context.WithCancel(ctx)
	s := &remoteSource{
		store: store, r: r, cache: cache, status: st, ctx: ctx, cancel: cancel,
		slots: make(chan struct{}, prefetchAhead),
		live:  make(map[int32]*fetch),
		held:  list.New(),
	}
	s.extents, s.of = planExtents(r)
	return s
}

func (s *remoteSource) recipe() *artifacts.Recipe { return s.r }

func (s *remoteSource) parallel() int { return remoteParallel }

// polite is 0: these reads wait for the store, not for a core.
func (s *remoteSource) polite() int { return 0 }

func (s *remoteSource) depth() int { return remoteParallel }

func (s *remoteSource) readChunk(ctx context.Context, i int, p []byte) error {
	err := s.readOnce(ctx, i, p)
	if err != nil && s.cache != nil && errdefs.IsDataLoss(err) {
		// A cache promises nothing: the store may have better bytes.
		s.forget(s.of[i])
		err = s.readOnce(ctx, i, p)
	}
	return err
}

func (s *remoteSource) readOnce(ctx context.Context, i int, p []byte) error {
	c, e := s.r.Chunk(i), s.of[i]
	f := s.get(e)
	select {
	case <-f.ready:
	case <-ctx.Done():
		return fmt.Errorf("wait for pack: %w", ctx.Err())
	}
	if f.err != nil {
		return f.err
	}
	defer s.used(f)
	loc := s.r.Location(i)
	start := loc.Offset - s.extents[e].off
	if err := pack.Decompress(p, f.data[start:start+loc.StoredLength], loc.Codec, c.Digest); err != nil {
		return fmt.Errorf("read %s from store %s: %w", packKey(loc.Pack.Digest), s.store, err)
	}
	return nil
}

// forget drops extent e, here and in the cache.
func (s *remoteSource) forget(e int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.extents[e]
	s.cache.Forget(x.pack.Digest, int64(x.off), int(x.size))
	if f := s.live[e]; f != nil && f.held != nil {
		s.drop(f)
	}
}

// get returns the fetch of extent e, which it starts if there is none.
func (s *remoteSource) get(e int32) *fetch {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.live[e]; f != nil {
		return f
	}
	return s.start(e)
}

// start starts the fetch of extent e; s.mu is held.
func (s *remoteSource) start(e int32) *fetch {
	x := s.extents[e]
	f := &fetch{extent: e, ready: make(chan struct{}), left: x.last - x.first + 1}
	s.live[e] = f
	s.fetches.Go(func() { s.run(f) })
	return f
}

// run brings f.
func (s *remoteSource) run(f *fetch) {
	x := s.extents[f.extent]
	data, err := s.cache.Read(s.ctx, x.pack.Digest, int64(x.off), int(x.size), func(ctx context.Context, off int64, p []byte) error {
		return s.store.ReadRange(ctx, packKey(x.pack.Digest), off, p)
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(f.ready)
	if err != nil {
		if errdefs.IsNotFound(err) {
			err = fmt.Errorf("%w: %w", err, errdefs.ErrDataLoss)
		}
		f.err = err
		s.release(f)
		delete(s.live, f.extent) // whoever asks next may have more luck
		return
	}
	s.status.fetched(int64(len(data)))
	f.data = data
	f.held = s.held.PushBack(f)
	s.size += int64(len(data))
	for s.size > maxHeld && s.held.Len() > 1 {
		s.drop(s.held.Front().Value.(*fetch))
	}
}

// used notes that one more chunk of f has been read.
func (s *remoteSource) used(f *fetch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.left--
	if f.left == 0 {
		s.drop(f)
	}
}

// drop forgets an extent that has arrived; s.mu is held. Those who have it
// already go on using it.
func (s *remoteSource) drop(f *fetch) {
	if s.live[f.extent] != f {
		return
	}
	s.release(f)
	delete(s.live, f.extent)
	s.held.Remove(f.held)
	s.size -= int64(len(f.data))
}

// release gives back the slot of a prefetch; s.mu is held.
func (s *remoteSource) release(f *fetch) {
	if f.slot {
		f.slot = false
		<-s.slots
	}
}

// prefetch starts fetching the extents of chunks, as many at a time as there
// are slots.
func (s *remoteSource) prefetch(chunks []int) {
	s.fetches.Go(func() {
		last := int32(-1)
		for _, i := range chunks {
			e := s.of[i]
			if e < 0 || e == last || s.cached(e) {
				continue
			}
			last = e
			select {
			case s.slots <- struct{}{}:
			case <-s.ctx.Done():
				return
			}
			if !s.claim(e) {
				<-s.slots // somebody fetches it already
			}
		}
	})
}

// claim starts the prefetch of extent e, which has taken a slot, unless it is
// under way or here.
func (s *remoteSource) claim(e int32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live[e] != nil {
		return false
	}
	s.start(e).slot = true
	return true
}

// cached reports whether extent e need not be fetched.
func (s *remoteSource) cached(e int32) bool {
	x := s.extents[e]
	return s.cache.Has(x.pack.Digest, int64(x.off), int(x.size))
}

func (s *remoteSource) close() error {
	s.cancel()
	s.fetches.Wait()
	return s.cache.Close()
}

// packKey is where a pack lies in a store.
func packKey(d artifacts.Digest) string { return "packs/" + d.Hex()[:2] + "/" + d.Hex() }
