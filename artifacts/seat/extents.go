// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import "github.com/ateom/ateom/artifacts"

// extentBytes is how much of a pack one request brings, unless one chunk is
// longer. At 20 ms to the first byte and 100 MB/s it spends half of its time
// waiting; a larger one would keep a page that is waited for waiting longer.
const extentBytes = 256 << 10

// An extent is a run of chunks that lie one behind the other in one pack.
type extent struct {
	pack        artifacts.Pack
	off         uint32
	size        uint32
	first, last int // chunks, both included
}

// planExtents divides a located recipe into extents, and says for each chunk
// which one it is in: -1 for zeros, which are nowhere.
func planExtents(r *artifacts.Recipe) (all []extent, of []int32) {
	of = make([]int32, r.Len())
	for i := range r.Len() {
		if r.Chunk(i).Zero() {
			of[i] = -1
			continue
		}
		loc := r.Location(i)
		if n := len(all); n > 0 {
			e := &all[n-1]
			if e.last == i-1 && e.pack == loc.Pack && e.off+e.size == loc.Offset && e.size+loc.StoredLength <= extentBytes {
				e.size += loc.StoredLength
				e.last = i
				of[i] = int32(n - 1)
				continue
			}
		}
		of[i] = int32(len(all))
		all = append(all, extent{pack: loc.Pack, off: loc.Offset, size: loc.StoredLength, first: i, last: i})
	}
	return all, of
}
