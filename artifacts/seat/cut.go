// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import "gvisor.dev/gvisor/pkg/sentry/memmap"

// A segment is a run of bytes of a client file.
type segment struct {
	file *clientFile
	off  uint64
	n    int
}

// A piece is one chunk of a stream on its way to disk. Its bytes are those of
// carry, if any, and then those of segs.
type piece struct {
	index int   // of the chunk in the recipe
	off   int64 // of the chunk in the stream
	n     int
	carry *buffer
	segs  []segment
}

// appendTo appends the bytes of p to b, which has room for them.
func (p *piece) appendTo(b []byte) ([]byte, error) {
	if p.carry != nil {
		b = append(b, p.carry.b...)
	}
	for _, s := range p.segs {
		at := len(b)
		b = b[:at+s.n]
		if err := s.file.readFull(b[at:], s.off); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// window names the aligned stretch of a client file that a chunk comes from.
type window struct {
	file   *clientFile
	number uint64
}

// A cutter divides a stream into chunks as it is written.
//
// A stream of pages is cut wherever the aligned window of the memory file
// changes. pages.img is packed: one page more in the front shifts all that
// follows in it, while a page's place in the memory file stays. So chunks of an
// unchanged stretch of memory keep their content from one save to the next.
// Other streams are cut at aligned offsets of the stream itself.
type cutter struct {
	pages bool
	index int
	off   int64
	open  *piece
	in    window
}

// add appends fr of file to the stream and hands over the chunks that it completes.
func (c *cutter) add(file *clientFile, fr memmap.FileRange, emit func(*piece)) {
	for fr.Start < fr.End {
		pos := uint64(c.off)
		if c.pages {
			pos = fr.Start
		}
		w := window{number: pos / chunkSize}
		if c.pages {
			w.file = file
		}
		n := min(fr.End-fr.Start, chunkSize-pos%chunkSize)
		if c.open != nil && c.in != w {
			c.flush(emit)
		}
		if c.open == nil {
			c.open = &piece{index: c.index, off: c.off}
			c.in = w
			c.index++
		}
		c.open.segs = append(c.open.segs, segment{file: file, off: fr.Start, n: int(n)})
		c.open.n += int(n)
		c.off += int64(n)
		fr.Start += n
		if c.open.n == chunkSize || (pos+n)%chunkSize == 0 {
			c.flush(emit)
		}
	}
}

// flush ends the open chunk, if there is one.
func (c *cutter) flush(emit func(*piece)) {
	if c.open != nil {
		emit(c.open)
		c.open = nil
	}
}

// carry copies what the open chunk has so far, because its source may change
// once the write that brought it is reported complete.
func (c *cutter) carry() error {
	p := c.open
	if p == nil || len(p.segs) == 0 {
		return nil
	}
	if p.carry == nil {
		p.carry = newBuffer(chunkSize)
	}
	for _, s := range p.segs {
		if err := p.carry.fill(s); err != nil {
			return err
		}
	}
	p.segs = nil
	return nil
}
