// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/durabledir/paxtar"
)

// holeAlign is the grain of holes in an archive: the smallest block that file
// systems in use have, so that one tree gives the same bytes on any of them.
const holeAlign = 4096

// extents finds where an open file of st has data. sparse is false if it has
// no hole.
func extents(fd int, st *stat) (list []paxtar.Extent, sparse bool, err error) {
	if st.size == 0 || st.blocks*512 >= st.size {
		return nil, false, nil
	}
	for at := int64(0); at < st.size; {
		data, err := unix.Seek(fd, at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break // a hole up to the end
		}
		if err != nil {
			return nil, false, err
		}
		if data >= st.size {
			break
		}
		hole, err := unix.Seek(fd, data, unix.SEEK_HOLE)
		if err != nil {
			return nil, false, err
		}
		list = addExtent(list, data, hole, st.size)
		at = hole
	}
	if len(list) == 1 && list[0] == (paxtar.Extent{Offset: 0, Length: st.size}) {
		return nil, false, nil
	}
	return list, true, nil
}

// addExtent adds the data from start to end, widened to whole blocks.
func addExtent(list []paxtar.Extent, start, end, size int64) []paxtar.Extent {
	start &^= holeAlign - 1
	end = min((end+holeAlign-1)&^(holeAlign-1), size)
	if n := len(list); n > 0 {
		last := &list[n-1]
		// A file with more extents than a map may have is kept with holes
		// filled from there on.
		if last.Offset+last.Length >= start || n == paxtar.MaxExtents-1 {
			last.Length = end - last.Offset
			return list
		}
	}
	return append(list, paxtar.Extent{Offset: start, Length: end - start})
}
