// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"io"
	"math"

	"github.com/cespare/xxhash/v2"
)

// A Segmenter is a writer that stores an archive in pieces, and may have those
// of the previous archive. The archive comes to it in segments: a large file by
// itself, or some small ones. Where segments are cut depends on their own
// entries, so that one which did not change is the same segment again, whatever
// happened before and behind it.
type Segmenter interface {
	io.Writer
	// Cut says that a segment ends here, if anything was written since the last.
	Cut() error
	// Reuse appends whole segments of the previous archive: length bytes that
	// stand there at offset. It comes right after a Cut, and what follows it
	// begins a segment.
	Reuse(offset, length int64) error
}

// segmentBytes is about how long a segment of small files is: that much is
// read, and stored again, for a change of a byte.
const segmentBytes = 64 << 10

// headerBytes is about how much of an archive an entry takes without its content.
const headerBytes = 1 << 10

// markSegments finds where the segments of an archive are.
func markSegments(entries []entry) {
	for i := range entries {
		e := &entries[i]
		e.starts = i == 0 || entries[i-1].isLarge() || e.choosesCut()
		if i > 0 {
			entries[i-1].ends = e.starts
		}
	}
	entries[len(entries)-1].ends = true
}

// choosesCut says whether a segment begins with an entry by its own name and
// size: one in as many as make up segmentBytes.
func (e *entry) choosesCut() bool {
	size := int64(headerBytes)
	if e.hasContent() {
		size += e.stat.size
	}
	if size >= segmentBytes {
		return true
	}
	return xxhash.Sum64String(e.path()) < uint64(size)*(math.MaxUint64/segmentBytes)
}

// reuse finds the segments that the index's archive has as they are now.
func (x *Index) reuse(entries []entry) {
	for len(entries) > 0 {
		n := 1
		for !entries[n-1].ends {
			n++
		}
		x.reuseSegment(entries[:n])
		entries = entries[n:]
	}
}

func (x *Index) reuseSegment(segment []entry) {
	next := int64(-1)
	for i := range segment {
		old, ok := x.find(&segment[i])
		if !ok || old.starts != (i == 0) || old.ends != (i == len(segment)-1) || (i > 0 && old.offset != next) {
			for j := range i {
				segment[j].old = placed{}
			}
			return
		}
		segment[i].old = old.placed
		next = old.offset + old.length
	}
}
