// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"crypto/sha256"
	"hash"
	"io"

	"github.com/ateom/ateom/artifacts"
)

// A hashWriter counts and hashes what goes through it.
type hashWriter struct {
	w io.Writer
	h hash.Hash
	n int64
}

func (w *hashWriter) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	w.h.Write(p[:n])
	w.n += int64(n)
	return n, err
}

// A hashReader counts and hashes what goes through it.
type hashReader struct {
	r io.Reader
	h hash.Hash
	n int64
}

func (r *hashReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.h.Write(p[:n])
	r.n += int64(n)
	return n, err
}

// A meteredReader tells a Meter and ends with its context.
type meteredReader struct {
	ctx context.Context
	r   io.Reader
	p   *Meter
}

func (r *meteredReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.r.Read(p)
	r.p.add(int64(n))
	return n, err
}

// A meteredWriter tells a Meter, and ends with its context.
type meteredWriter struct {
	ctx context.Context
	w   io.Writer
	p   *Meter
}

func (w *meteredWriter) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := w.w.Write(p)
	w.p.add(int64(n))
	return n, err
}

func digestOf(data []byte) artifacts.Digest { return sha256.Sum256(data) }
