// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package bucket

import (
	"context"
	"io"
	"sync/atomic"
)

// A Counted store counts the bytes of objects on their way.
type Counted struct {
	Store
	sent, received atomic.Int64
}

// Count returns s with counters.
func Count(s Store) *Counted { return &Counted{Store: s} }

// Sent returns how many bytes went into objects that were written.
func (c *Counted) Sent() int64 { return c.sent.Load() }

// Received returns how many bytes of objects were read.
func (c *Counted) Received() int64 { return c.received.Load() }

// Put implements Store.
func (c *Counted) Put(ctx context.Context, key string, body io.ReaderAt, size int64) error {
	err := c.Store.Put(ctx, key, body, size)
	if err == nil {
		c.sent.Add(size)
	}
	return err
}

// Create implements Store.
func (c *Counted) Create(ctx context.Context, key string, data []byte) error {
	err := c.Store.Create(ctx, key, data)
	if err == nil {
		c.sent.Add(int64(len(data)))
	}
	return err
}

// Get implements Store.
func (c *Counted) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	r, err := c.Store.Get(ctx, key, offset, length)
	if err != nil {
		return nil, err
	}
	return &countedReader{ReadCloser: r, n: &c.received}, nil
}

type countedReader struct {
	io.ReadCloser
	n *atomic.Int64
}

func (r *countedReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.n.Add(int64(n))
	return n, err
}

// Unwrap returns the store that is counted.
func (c *Counted) Unwrap() Store { return c.Store }
