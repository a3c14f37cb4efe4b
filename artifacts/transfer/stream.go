// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/ateom/ateom/artifacts/cache"
	"github.com/containerd/errdefs"
)

// What a Stream reads ahead. One request is long enough that waiting for its
// first byte matters little, and all together take less than 64 MiB.
const (
	streamSpans  = 8
	maxSpanPlain = 4 << 20
	maxStreamed  = 2 << 20
	// firstGlance is how much plain data the first request of a reader asks for
	// that may not want the next; each that follows asks for twice as much.
	firstGlance = 256 << 10
	// skipAhead is how far a Seek goes forward by reading rather than by
	// giving up what is on its way.
	skipAhead = 64 << 10
)

// A Stream reads a part of encoding Chunks in its order, several requests
// ahead. Every byte that it hands out was compared with the recipe. It is not
// for use by several goroutines.
type Stream struct {
	ctx    context.Context
	store  bucket.Store
	recipe *artifacts.Recipe
	cache  *cache.Set // nil for none
	glance bool

	offset int64 // of the next byte
	buf    []byte
	zeros  int64 // what is left of a run of zeros
	next   int   // chunk after buf
	ahead  *readAhead
}

// NewStream returns a stream of a located recipe, for who reads all of it. The
// caller closes it.
func NewStream(ctx context.Context, s bucket.Store, r *artifacts.Recipe) *Stream {
	return &Stream{ctx: ctx, store: s, recipe: r}
}

// NewGlance returns a stream for who passes over most of it with Seek: it
// reads the more ahead the longer it is read without one. The caller closes it.
func NewGlance(ctx context.Context, s bucket.Store, r *artifacts.Recipe) *Stream {
	return &Stream{ctx: ctx, store: s, recipe: r, glance: true}
}

// Read implements io.Reader.
func (s *Stream) Read(p []byte) (int, error) {
	for len(s.buf) == 0 && s.zeros == 0 {
		if err := s.load(); err != nil {
			return 0, err
		}
	}
	var n int
	if s.zeros > 0 {
		n = int(min(s.zeros, int64(len(p))))
		clear(p[:n])
		s.zeros -= int64(n)
	} else {
		n = copy(p, s.buf)
		s.buf = s.buf[n:]
	}
	s.offset += int64(n)
	return n, nil
}

// load takes the next chunk.
func (s *Stream) load() error {
	if s.next == s.recipe.Len() {
		return io.EOF
	}
	c := s.recipe.Chunk(s.next)
	if c.Zero() {
		s.zeros = int64(c.Length)
	} else {
		if s.ahead == nil {
			s.ahead = startReadAhead(s.ctx, s, s.next)
		}
		data, err := s.ahead.chunk(int(c.Length))
		if err != nil {
			return err
		}
		s.buf = data
	}
	s.next++
	return nil
}

// Seek implements io.Seeker. What lies between is not read, where that is worth it.
func (s *Stream) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += s.offset
	case io.SeekEnd:
		offset += s.recipe.Size()
	}
	if offset < 0 || offset > s.recipe.Size() {
		return 0, fmt.Errorf("seek to byte %d of %d: %w", offset, s.recipe.Size(), errdefs.ErrOutOfRange)
	}
	if distance := offset - s.offset; distance >= 0 && distance <= skipAhead+int64(len(s.buf))+s.zeros {
		_, err := io.CopyN(io.Discard, s, distance)
		return s.offset, err
	}
	s.Close()
	s.buf, s.zeros, s.offset, s.next = nil, 0, offset, s.recipe.Len()
	i, ok := s.recipe.Find(offset)
	if !ok {
		return offset, nil // the end
	}
	s.next = i
	c := s.recipe.Chunk(i)
	if c.Offset == offset {
		return offset, nil
	}
	s.offset = c.Offset
	_, err := io.CopyN(io.Discard, s, offset-c.Offset)
	return s.offset, err
}

// Close ends the requests under way.
func (s *Stream) Close() error {
	if s.ahead != nil {
		s.ahead.stop()
		s.ahead = nil
	}
	return nil
}

// A readAhead brings the stored chunks of a recipe, in order.
type readAhead struct {
	cancel  context.CancelFunc
	workers sync.WaitGroup
	spans   chan *fetchedSpan // in order
	free    chan struct{}     // has one for each span that is on its way
	held    int               // of those, how many stand for none, so that little is read ahead
	open    *fetchedSpan
	err     error // of all that follows
}

// A fetchedSpan is a span on its way, and its chunks' bytes when done is closed.
type fetchedSpan struct {
	done chan struct{}
	data []byte
	err  error
}

func (f *fetchedSpan) fetch(ctx context.Context, s *Stream, plan *plan, sp span) {
	w := spanReader{cache: s.cache}
	f.err = w.each(ctx, s.store, plan, sp, func(_ artifacts.Chunk, data []byte) error {
		f.data = append(f.data, data...)
		return nil
	})
}

// errAbsent ends a read behind the last stored chunk.
var errAbsent = errors.New("read chunk: there are no more")

func startReadAhead(ctx context.Context, s *Stream, first int) *readAhead {
	ctx, cancel := context.WithCancel(ctx)
	a := &readAhead{cancel: cancel, spans: make(chan *fetchedSpan, streamSpans), free: make(chan struct{}, streamSpans)}
	size := maxSpanPlain
	if s.glance {
		size = firstGlance
		for ; a.held < streamSpans-1; a.held++ {
			a.free <- struct{}{}
		}
	}
	a.workers.Go(func() {
		defer close(a.spans)
		for plan, sp := range orderedSpans(s.recipe, first, size) {
			select {
			case a.free <- struct{}{}:
			case <-ctx.Done():
				return
			}
			f := &fetchedSpan{done: make(chan struct{})}
			a.spans <- f // never blocks: it has room for all that are on their way
			a.workers.Go(func() {
				defer close(f.done)
				f.fetch(ctx, s, plan, sp)
			})
		}
	})
	return a
}

// chunk returns the bytes of the next stored chunk, which is so long.
func (a *readAhead) chunk(length int) ([]byte, error) {
	for a.err == nil && (a.open == nil || len(a.open.data) == 0) {
		a.advance()
	}
	if a.err != nil {
		return nil, a.err
	}
	data := a.open.data[:length]
	a.open.data = a.open.data[length:]
	return data, nil
}

// advance opens the next span.
func (a *readAhead) advance() {
	if a.open != nil {
		<-a.free
		if a.held > 0 {
			<-a.free
			a.held--
		}
	}
	f, ok := <-a.spans
	if !ok {
		a.err = errAbsent
		return
	}
	<-f.done
	a.open, a.err = f, f.err
}

func (a *readAhead) stop() {
	a.cancel()
	a.workers.Wait()
}

// orderedSpans yields the spans that hold the stored chunks from first on, in
// the order of the part; each with a plan of its own, which is no longer than it.
// The first has up to size bytes of plain data, those that follow twice as much each.
func orderedSpans(r *artifacts.Recipe, first, size int) func(yield func(*plan, span) bool) {
	return func(yield func(*plan, span) bool) {
		var order []int32
		var sp span
		plain := 0
		flush := func() bool {
			if len(order) == 0 {
				return true
			}
			sp.last = len(order)
			ok := yield(&plan{recipe: r, order: order}, sp)
			order, plain = nil, 0
			size = min(2*size, maxSpanPlain)
			return ok
		}
		for i := first; i < r.Len(); i++ {
			c := r.Chunk(i)
			if c.Zero() {
				continue
			}
			l := r.Location(i)
			end := l.Offset + l.StoredLength
			if len(order) > 0 && (l.Pack.Digest != sp.pack.Digest || l.Offset < sp.end || l.Offset > sp.end+maxGap ||
				end-sp.start > maxStreamed || plain+int(c.Length) > size) && !flush() {
				return
			}
			if len(order) == 0 {
				sp = span{pack: l.Pack, start: l.Offset}
			}
			sp.end = end
			plain += int(c.Length)
			order = append(order, int32(i))
		}
		flush()
	}
}
