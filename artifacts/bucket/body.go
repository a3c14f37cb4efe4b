// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
)

// A body is what is written into an object. It remembers its own error, which
// an SDK would report as the store's, and ends with its context.
type body struct {
	ctx  context.Context
	r    io.ReaderAt
	size int64

	mu  sync.Mutex
	err error
}

func newBody(ctx context.Context, r io.ReaderAt, size int64) *body {
	return &body{ctx: ctx, r: r, size: size}
}

// ReadAt implements io.ReaderAt.
func (b *body) ReadAt(p []byte, off int64) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := b.r.ReadAt(p, off)
	// The last bytes would complete the object.
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	if err == nil || (errors.Is(err, io.EOF) && off+int64(n) >= b.size) {
		return n, err
	}
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("it has %d bytes instead of %d: %w", off+int64(n), b.size, io.ErrUnexpectedEOF)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
	}
	return n, err
}

// section returns the bytes in order, from the start.
func (b *body) section() *io.SectionReader { return io.NewSectionReader(b, 0, b.size) }

// explain returns the body's own error if it had one, else err.
func (b *body) explain(err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return fmt.Errorf("read what is to be written: %w", b.err)
	}
	return err
}
