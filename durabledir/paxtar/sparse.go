// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package paxtar

import (
	"io"
	"math"
)

// readMap reads the map in front of a sparse file's content, and sets what of
// h depends on it. r.left counts map and content.
func (r *Reader) readMap(h *Header, rec *records) error {
	h.Size, h.Sparse = *rec.realSize, true
	m := mapReader{r: r}
	count, err := m.number()
	if err != nil {
		return err
	}
	if count > MaxExtents {
		return r.refuse(ErrSparse, "%d extents, more than %d", count, MaxExtents)
	}
	end, stored := int64(0), int64(0)
	for range count {
		offset, err := m.number()
		if err != nil {
			return err
		}
		length, err := m.number()
		if err != nil {
			return err
		}
		if offset < end || length > h.Size || offset > h.Size-length {
			return r.refuse(ErrSparse, "extent %d+%d after %d in a file of %d bytes", offset, length, end, h.Size)
		}
		end = offset + length
		stored += length
		if n := len(h.Extents); n > 0 && length > 0 && h.Extents[n-1].Offset+h.Extents[n-1].Length == offset {
			h.Extents[n-1].Length += length
		} else if length > 0 {
			h.Extents = append(h.Extents, Extent{Offset: offset, Length: length})
		}
	}
	if err := m.finish(); err != nil {
		return err
	}
	if stored != r.left {
		return r.refuse(ErrSize, "the map tells of %d bytes, the header of %d", stored, r.left)
	}
	return nil
}

// A mapReader reads the lines of a sparse map, which end in whole blocks.
type mapReader struct {
	r    *Reader
	rest []byte // of the current block
	buf  [blockSize]byte
}

// number reads one line of decimal digits.
func (m *mapReader) number() (int64, error) {
	var n int64
	for digits := 0; ; digits++ {
		c, err := m.byte()
		if err != nil {
			return 0, err
		}
		switch {
		case c == '\n' && digits > 0:
			return n, nil
		case c < '0' || c > '9' || n > (math.MaxInt64-9)/10:
			return 0, m.r.refuse(ErrSparse, "a line that is no number")
		}
		n = n*10 + int64(c-'0')
	}
}

func (m *mapReader) byte() (byte, error) {
	if len(m.rest) == 0 {
		if m.r.left < blockSize {
			return 0, m.r.refuse(ErrSparse, "the map is longer than the entry")
		}
		m.rest = m.buf[:]
		if _, err := io.ReadFull(m.r, m.rest); err != nil {
			return 0, err
		}
	}
	c := m.rest[0]
	m.rest = m.rest[1:]
	return c, nil
}

// finish checks what fills the last block of the map.
func (m *mapReader) finish() error {
	if !isZero(m.rest) {
		return m.r.refuse(ErrSparse, "data after the map")
	}
	return nil
}
