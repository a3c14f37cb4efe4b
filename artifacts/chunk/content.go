// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package chunk

import (
	"fmt"

	chunkers "github.com/PlakarKorp/go-cdc-chunkers"
	"github.com/PlakarKorp/go-cdc-chunkers/chunkers/fastcdc"
)

// Sizes of the chunks of a Content cutter, in bytes, for streams up to
// contentStep; longer ones have longer chunks, so that a recipe has about a
// quarter of what it may have at most, and fits into memory with its index.
// 48 KiB on average is small against what changes between two snapshots of a
// volume, and the recipe of 1 GiB takes 1 MiB.
const (
	contentNormal = 32 << 10
	contentStep   = 8 << 30
	// A chunk is between a half and four times the normal size long.
	contentMin = contentNormal / 2
	contentMax = 4 * contentNormal
	// maxScale is the longest that chunks become, against the above: four
	// normal sizes are then what a chunk may be at most.
	maxScale = 32
)

// Content cuts a stream where its content says so (FastCDC): bytes that are
// inserted or removed move the cuts next to them and no others.
type Content struct {
	options chunkers.ChunkerOpts
	cdc     fastcdc.FastCDC
}

// NewContent returns a cutter for a stream of about size bytes.
func NewContent(size int64) *Content {
	scale := ContentScale(size)
	c := &Content{options: chunkers.ChunkerOpts{
		MinSize: contentMin * scale, NormalSize: contentNormal * scale, MaxSize: contentMax * scale,
	}}
	if err := c.cdc.Setup(&c.options); err != nil {
		panic(fmt.Sprintf("chunk: set up FastCDC: %v", err)) // there is no key, which alone can fail
	}
	return c
}

// ContentScale returns how much longer the chunks of a stream of size bytes
// are than those of a small one. Streams of different scales are cut in
// different places.
func ContentScale(size int64) int {
	scale := 1
	for size > contentStep && scale < maxScale {
		scale, size = scale*2, size/2
	}
	return scale
}

// Max returns how long a chunk is at most, and what Next may need to see.
func (c *Content) Max() int { return c.options.MaxSize }

// Next implements Cutter, with Max in the place of MaxSpan.
func (c *Content) Next(p []byte, last bool) (Span, bool) {
	if len(p) == 0 || (len(p) < c.options.MaxSize && !last) {
		return Span{}, false
	}
	n := c.cdc.Algorithm(&c.options, p, len(p))
	return Span{Length: n, Zero: IsZero(p[:n])}, true
}
