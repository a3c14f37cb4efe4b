// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package bucket

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strconv"

	"github.com/containerd/errdefs"
	"golang.org/x/time/rate"
)

// Limits bound what one process asks of a store. Zero means no bound.
type Limits struct {
	// Requests is how many objects are read and written at a time.
	Requests int
	// BytesPerSecond is for objects' bytes in both directions together.
	BytesPerSecond int
}

// Parameters of a store's URL that set its Limits.
const (
	requestsParameter = "max_requests"
	bytesParameter    = "max_bytes_per_second"
)

// takeLimits reads the parameters and removes them from q.
func takeLimits(q url.Values) (l Limits, err error) {
	for name, to := range map[string]*int{requestsParameter: &l.Requests, bytesParameter: &l.BytesPerSecond} {
		if !q.Has(name) {
			continue
		}
		n, err := strconv.ParseUint(q.Get(name), 10, 31)
		if err != nil || n == 0 {
			return Limits{}, fmt.Errorf("%s=%.20q: want a positive number: %w", name, q.Get(name), errdefs.ErrInvalidArgument)
		}
		*to = int(n)
		q.Del(name)
	}
	return l, nil
}

// burst is how many bytes go at once, and how finely a stream is paced.
const burst = 64 << 10

// paidAhead is the size up to which an object's bytes are waited for before it
// is sent: an SDK may read a body more than once, and an attempt's time is
// bounded.
const paidAhead = 16 << 20

// Limit paces the Gets, Puts and Creates of s. A Get counts until its reader is closed.
func Limit(s Store, l Limits) Store {
	if l == (Limits{}) {
		return s
	}
	limited := &limitedStore{Store: s}
	if l.Requests > 0 {
		limited.slots = make(chan struct{}, l.Requests)
	}
	if l.BytesPerSecond > 0 {
		limited.bytes = rate.NewLimiter(rate.Limit(l.BytesPerSecond), burst)
	}
	return limited
}

type limitedStore struct {
	Store
	slots chan struct{}
	bytes *rate.Limiter
}

// Unwrap returns the store that is limited.
func (s *limitedStore) Unwrap() Store { return s.Store }

func (s *limitedStore) enter(ctx context.Context) error {
	if s.slots == nil {
		return nil
	}
	select {
	case s.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *limitedStore) leave() {
	if s.slots != nil {
		<-s.slots
	}
}

// pay waits until n bytes, at most burst, may go.
func (s *limitedStore) pay(ctx context.Context, n int) error {
	if s.bytes == nil || n == 0 {
		return nil
	}
	if err := s.bytes.WaitN(ctx, n); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("wait for bandwidth: %w: %w", err, context.DeadlineExceeded)
	}
	return nil
}

// payAll waits until n bytes may go.
func (s *limitedStore) payAll(ctx context.Context, n int64) error {
	for ; n > 0; n -= burst {
		if err := s.pay(ctx, int(min(n, burst))); err != nil {
			return err
		}
	}
	return nil
}

func (s *limitedStore) Put(ctx context.Context, key string, body io.ReaderAt, size int64) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	if s.bytes != nil && size > paidAhead {
		return s.Store.Put(ctx, key, &pacedBody{ctx: ctx, r: body, pay: s.pay}, size)
	}
	if err := s.payAll(ctx, size); err != nil {
		return err
	}
	return s.Store.Put(ctx, key, body, size)
}

func (s *limitedStore) Create(ctx context.Context, key string, data []byte) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	if err := s.payAll(ctx, int64(len(data))); err != nil {
		return err
	}
	return s.Store.Create(ctx, key, data)
}

func (s *limitedStore) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	r, err := s.Store.Get(ctx, key, offset, length)
	if err != nil {
		s.leave()
		return nil, err
	}
	return &pacedReader{ctx: ctx, r: r, store: s}, nil
}

// A pacedBody pays for what is read of it.
type pacedBody struct {
	ctx context.Context
	r   io.ReaderAt
	pay func(context.Context, int) error
}

func (b *pacedBody) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) && err == nil {
		piece := p[n:min(len(p), n+burst)]
		if err := b.pay(b.ctx, len(piece)); err != nil {
			return n, err
		}
		var m int
		m, err = b.r.ReadAt(piece, off+int64(n))
		n += m
	}
	return n, err
}

// A pacedReader pays for what it has read, and leaves when it is closed.
type pacedReader struct {
	ctx    context.Context
	r      io.ReadCloser
	store  *limitedStore
	closed bool
}

func (r *pacedReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p[:min(len(p), burst)])
	if payErr := r.store.pay(r.ctx, n); payErr != nil {
		return n, payErr
	}
	return n, err
}

func (r *pacedReader) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	defer r.store.leave()
	return r.r.Close()
}
