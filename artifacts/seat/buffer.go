// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"bytes"
	"iter"
	"sync"
)

// A buffer holds one chunk. It begins at a multiple of pageSize in memory, which
// disks that are read directly ask for.
type buffer struct {
	b []byte
}

var buffers = sync.Pool{New: func() any { return &buffer{b: aligned(chunkSize)} }}

// newBuffer returns an empty buffer with room for n bytes.
func newBuffer(n int) *buffer {
	if n > chunkSize {
		return &buffer{b: aligned(n)} // of a snapshot that another program sealed
	}
	b := buffers.Get().(*buffer)
	b.b = b.b[:0]
	return b
}

// free gives b up.
func (b *buffer) free() {
	if cap(b.b) == chunkSize {
		buffers.Put(b)
	}
}

// fill appends the bytes of s.
func (b *buffer) fill(s segment) error {
	at := len(b.b)
	b.b = b.b[:at+s.n]
	return s.file.readFull(b.b[at:], s.off)
}

// pageSize is the granularity of holes. It is the smallest page of any
// machine, so that it divides them all.
const pageSize = 4096

var zeroPage [pageSize]byte

// zero reports whether p is nothing but zeros.
func zero(p []byte) bool {
	for range dataRuns(p) {
		return false
	}
	return true
}

// dataRuns returns the stretches of p that are not zero pages, as offsets into p.
func dataRuns(p []byte) iter.Seq2[int, int] {
	return func(yield func(start, end int) bool) {
		start := -1
		for at := 0; at < len(p); at += pageSize {
			end := min(at+pageSize, len(p))
			zero := bytes.Equal(p[at:end], zeroPage[:end-at])
			switch {
			case !zero && start < 0:
				start = at
			case zero && start >= 0:
				if !yield(start, at) {
					return
				}
				start = -1
			}
		}
		if start >= 0 {
			yield(start, len(p))
		}
	}
}
