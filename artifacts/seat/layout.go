// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"sort"
)

// A layout is a recipe by offset.
type layout struct {
	chunks []chunk
	// ends[i] is the offset behind chunk i.
	ends []int64
}

func newLayout(chunks []chunk) *layout {
	l := &layout{chunks: chunks, ends: make([]int64, len(chunks))}
	end := int64(0)
	for i, c := range chunks {
		end += int64(c.Length)
		l.ends[i] = end
	}
	return l
}

// size returns the length of the stream.
func (l *layout) size() int64 {
	if len(l.ends) == 0 {
		return 0
	}
	return l.ends[len(l.ends)-1]
}

// find returns the chunk that holds the byte at off, and len(chunks) for an
// offset at or behind the end.
func (l *layout) find(off int64) int {
	return sort.Search(len(l.ends), func(i int) bool { return l.ends[i] > off })
}

// start returns the offset of chunk i.
func (l *layout) start(i int) int64 { return l.ends[i] - int64(l.chunks[i].Length) }
