// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/containerd/errdefs"
)

// Get opens the object once and reads on at the same place when the body
// breaks off.
func (s *retryStore) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	r := &retryReader{ctx: ctx, store: s, key: key, offset: offset, length: length}
	err := s.loop(ctx, r.open)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// A retryReader is a Get under way.
type retryReader struct {
	ctx            context.Context
	store          *retryStore
	key            string
	offset, length int64 // of what has not been read; length < 0: to the end

	body   io.ReadCloser
	cancel context.CancelCauseFunc
	timer  *time.Timer // ends an attempt in which nothing moves
	failed int         // attempts that broke off without a byte
}

// open starts an attempt at the current place.
func (r *retryReader) open() error {
	ctx, cancel := context.WithCancelCause(r.ctx)
	timer := time.AfterFunc(r.store.policy.Idle, func() { cancel(errIdle) })
	body, err := r.store.Store.Get(ctx, r.key, r.offset, r.length)
	if err != nil {
		timer.Stop()
		err = r.explain(ctx, err)
		cancel(nil)
		return err
	}
	r.body, r.cancel, r.timer = body, cancel, timer
	return nil
}

// explain tells an attempt that timed out from a caller that gave up.
func (r *retryReader) explain(ctx context.Context, err error) error {
	if r.ctx.Err() == nil && context.Cause(ctx) == errIdle {
		return &Error{Op: "get", Key: r.key, Store: r.store.String(), Class: errdefs.ErrUnavailable, Detail: errIdle.Error()}
	}
	return err
}

func (r *retryReader) Read(p []byte) (int, error) {
	for {
		if r.body == nil {
			if err := r.store.loop(r.ctx, r.open); err != nil {
				return 0, err
			}
		}
		r.timer.Reset(r.store.policy.Idle)
		n, err := r.body.Read(p)
		r.timer.Stop() // a slow caller is no idle store
		r.offset += int64(n)
		if r.length > 0 {
			r.length -= int64(n)
		}
		if n > 0 {
			r.failed = 0
		}
		if err == nil || errors.Is(err, io.EOF) || r.ctx.Err() != nil {
			return n, err
		}
		// Nothing that an idle attempt or the network says about a body is final.
		r.failed++
		r.end()
		if r.failed >= r.store.policy.Attempts {
			return n, err
		}
		if n > 0 || r.length == 0 {
			return n, nil
		}
	}
}

// end gives up the current attempt.
func (r *retryReader) end() error {
	if r.body == nil {
		return nil
	}
	r.timer.Stop()
	err := r.body.Close()
	r.cancel(nil)
	r.body = nil
	return err
}

func (r *retryReader) Close() error { return r.end() }

// ReadAll returns a whole object of at most max bytes. The error is ErrDataLoss for a
// longer one.
func ReadAll(ctx context.Context, s Store, key string, max int64) ([]byte, error) {
	r, err := s.Get(ctx, key, 0, -1)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, max+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > max {
		return nil, fmt.Errorf("read %s from store %s: more than %d bytes: %w", key, s, max, errdefs.ErrDataLoss)
	}
	return data, nil
}

// ReadRange fills p from an object at offset. The error is ErrDataLoss where the object ends before.
func ReadRange(ctx context.Context, s Store, key string, offset int64, p []byte) error {
	r, err := s.Get(ctx, key, offset, int64(len(p)))
	if errors.Is(err, errdefs.ErrOutOfRange) {
		return fmt.Errorf("read %s from store %s: it ends before %d: %w", key, s, offset, errdefs.ErrDataLoss)
	}
	if err != nil {
		return err
	}
	defer r.Close()
	n, err := io.ReadFull(r, p)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("read %s from store %s: it ends at %d, not at %d: %w",
			key, s, offset+int64(n), offset+int64(len(p)), errdefs.ErrDataLoss)
	}
	return err
}
