// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

// waitUnit is how much of a memory file runsc maps, and so waits for, at one
// fault while pages are still loading (pkg/sentry/mm, mapASLocked).
const waitUnit = 32 << 20

// maxRun is how many bytes in a row are taken for the background having jumped
// over pages that were freed: more than a program waits for at a time.
const maxRun = waitUnit + waitUnit/4

// maxBeyond bounds what an order remembers.
const maxBeyond = 1 << 16

// An order tells the reads that runsc makes ahead of need from those that a
// program waits for; the protocol does not say. runsc reads ahead from front to
// back, leaving out what it has asked for before. So a read that starts at the
// first offset not asked for yet is taken for ahead of need, and any other is
// waited for. The first may be wrong: a program that faults where the background
// has got to waits for just those reads, up to waitUnit of them. That is why
// no pace may be so slow that waiting for a unit of it hurts.
type order struct {
	cursor int64           // everything in front of it has been asked for
	beyond map[int64]int64 // start and end of reads behind the cursor
	runEnd int64           // where the last read ended
	run    int64           // how many bytes in a row have been asked for
}

// ahead notes a read and says whether it was ahead of need.
func (o *order) ahead(off, n int64) bool {
	end := off + n
	if off == o.runEnd {
		o.run += n
	} else {
		o.run = n
	}
	o.runEnd = end
	if off != o.cursor && o.run < maxRun {
		if o.beyond == nil || len(o.beyond) >= maxBeyond {
			o.beyond = make(map[int64]int64)
		}
		o.beyond[off] = end
		return false
	}
	o.cursor = end
	for {
		next, ok := o.beyond[o.cursor]
		if !ok {
			return true
		}
		delete(o.beyond, o.cursor)
		o.cursor = next
	}
}
