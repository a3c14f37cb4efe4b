// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

// maxRun is how many reads in a row, each beginning where the last one ended,
// are taken for the background having jumped over pages that were freed.
const maxRun = 8

// maxBeyond bounds what an order remembers.
const maxBeyond = 1 << 16

// An order tells the reads that runsc makes ahead of need from those that a
// program waits for; the protocol does not say. runsc reads ahead from front to
// back, leaving out what it has asked for before. So a read that starts at the
// first offset not asked for yet is ahead of need, and any other is waited for.
// A wrong answer costs time, nothing else.
type order struct {
	cursor int64           // everything in front of it has been asked for
	beyond map[int64]int64 // start and end of reads behind the cursor
	runEnd int64           // where the last read ended
	run    int             // how many reads in a row have followed each other
}

// ahead notes a read and says whether it was ahead of need.
func (o *order) ahead(off, n int64) bool {
	end := off + n
	if off == o.runEnd {
		o.run++
	} else {
		o.run = 0
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
