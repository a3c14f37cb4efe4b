// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package chunk

import "github.com/cespare/xxhash/v2"

// A Span is a piece of a stream that is to become a chunk.
type Span struct {
	Length int
	// Zero says that the piece is nothing but zeros.
	Zero bool
}

// A Cutter says where a stream is cut. It is fed the stream in order.
type Cutter interface {
	// Next looks at the bytes that follow the last span and returns the next
	// one, or false if it needs more of them. With last set nothing follows
	// p, and Next returns a span for as long as p is not empty. It never needs
	// more than MaxSpan bytes, and no span but a zero one is longer.
	Next(p []byte, last bool) (Span, bool)
}

// Sizes in bytes. 64 KiB keeps the recipe of 1 GiB below 1 MiB and is small
// against what changes between two snapshots of a working program.
const (
	// PageSize is the granularity of a checkpoint's pages.
	PageSize = 4 << 10
	// FixedSize is the length of a Fixed cutter's chunks.
	FixedSize = 64 << 10
	// MaxSpan bounds a chunk of any cutter.
	MaxSpan = 128 << 10

	minPages = 4
	maxPages = MaxSpan / PageSize
	// pageMask makes one page in 16 an end of a chunk.
	pageMask = 16 - 1
)

// Fixed cuts at multiples of FixedSize.
type Fixed struct{}

// Next implements Cutter.
func (Fixed) Next(p []byte, last bool) (Span, bool) {
	if len(p) == 0 || (len(p) < FixedSize && !last) {
		return Span{}, false
	}
	n := min(len(p), FixedSize)
	return Span{Length: n, Zero: IsZero(p[:n])}, true
}

// Pages cuts a stream of memory pages behind pages that their content
// chooses, and around pages of zeros. A page more or less in the front shifts
// the stream, yet behind the next chosen page the chunks are the same again:
// pages.img is packed, and that is how two of them differ.
type Pages struct{}

// Next implements Cutter.
func (Pages) Next(p []byte, last bool) (Span, bool) {
	if len(p) == 0 || (len(p) < MaxSpan && !last) {
		return Span{}, false
	}
	if n := zeroPages(p); n > 0 {
		return Span{Length: n, Zero: true}, true
	}
	for n, pages := 0, 1; ; pages++ {
		end := min(n+PageSize, len(p))
		page := p[n:end]
		if n > 0 && IsZero(page) {
			return Span{Length: n}, true
		}
		n = end
		if n == len(p) || pages == maxPages || (pages >= minPages && xxhash.Sum64(page)&pageMask == 0) {
			return Span{Length: n}, true
		}
	}
}

// zeroPages returns how many bytes of zero pages p begins with.
func zeroPages(p []byte) int {
	n := 0
	for n < len(p) {
		end := min(n+PageSize, len(p))
		if !IsZero(p[n:end]) {
			break
		}
		n = end
	}
	return n
}
