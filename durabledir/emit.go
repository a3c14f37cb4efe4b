// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/ateom/ateom/durabledir/paxtar"
)

const (
	// maxSmall is the size up to which files are read by several readers at a
	// time, each file into memory; larger ones are streamed one after the other.
	maxSmall = 256 << 10
	// A piece ends at one of these.
	pieceBytes   = 256 << 10
	pieceEntries = 64
	// chunkBytes is how much of a large file is read at a time.
	chunkBytes = 1 << 20
)

// An emitter writes an archive: several readers make pieces of it, and one
// writer puts these out in order.
type emitter struct {
	root    root
	entries []entry
	readers int
	out     io.Writer
	report  *Report
	// mark, if set, is told where each entry lies in the archive.
	mark func(e *entry, at placed)

	offset int64 // in the archive
}

// A piece is a run of entries, as they stand in the archive.
type piece struct {
	entries []entry
	large   bool          // one large file, which the writer streams
	reuse   placed        // in the previous archive, instead of everything else
	done    chan struct{} // closed when buf is complete
	buf     []byte
	places  []placed // of each entry, in buf
	bytes   int64    // of content
	err     error
}

// run writes the whole archive.
func (e *emitter) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var readers sync.WaitGroup
	defer readers.Wait()
	defer cancel()

	// The order of pieces runs ahead of the writer by a bounded number.
	inOrder := make(chan *piece, 2*e.readers)
	todo := make(chan *piece, 2*e.readers)
	readers.Go(func() {
		defer close(inOrder)
		defer close(todo)
		for rest := e.entries; len(rest) > 0; {
			var p *piece
			p, rest = cutPiece(rest)
			select {
			case inOrder <- p:
			case <-ctx.Done():
				return
			}
			if p.done == nil {
				continue
			}
			select {
			case todo <- p:
			case <-ctx.Done():
				return
			}
		}
	})
	for range e.readers {
		readers.Go(func() {
			for p := range todo {
				p.load(e.root)
			}
		})
	}
	for p := range inOrder {
		if err := e.write(ctx, p); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := e.cut(); err != nil {
		return err
	}
	return e.put(paxtar.End)
}

// cutPiece takes the first piece off a list of entries.
func cutPiece(entries []entry) (*piece, []entry) {
	first := &entries[0]
	if first.old.length > 0 {
		return cutReuse(entries)
	}
	if first.isLarge() {
		return &piece{entries: entries[:1], large: true}, entries[1:]
	}
	n, size := 0, int64(0)
	for n < len(entries) && n < pieceEntries && size < pieceBytes && !entries[n].isLarge() && entries[n].old.length == 0 {
		if entries[n].hasContent() {
			size += entries[n].stat.size
		}
		n++
	}
	return &piece{entries: entries[:n], done: make(chan struct{})}, entries[n:]
}

// cutReuse takes the entries that lie one after the other in the previous archive.
func cutReuse(entries []entry) (*piece, []entry) {
	p := &piece{reuse: entries[0].old}
	n := 1
	for n < len(entries) && entries[n].old.length > 0 && entries[n].old.offset == p.reuse.offset+p.reuse.length {
		p.reuse.length += entries[n].old.length
		n++
	}
	p.entries = entries[:n]
	return p, entries[n:]
}

func (e *entry) isLarge() bool { return e.hasContent() && e.stat.size > maxSmall }

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// load makes the bytes of a piece.
func (p *piece) load(r root) {
	defer close(p.done)
	p.buf = (*buffers.Get().(*[]byte))[:0]
	p.places = make([]placed, len(p.entries))
	for i := range p.entries {
		start, bytes := len(p.buf), p.bytes
		if err := p.loadEntry(r, &p.entries[i]); err != nil {
			p.err = fmt.Errorf("capture %q: %w", p.entries[i].path(), err)
			return
		}
		p.places[i] = placed{int64(start), int64(len(p.buf) - start), p.bytes - bytes}
	}
}

func (p *piece) loadEntry(r root, e *entry) error {
	if !e.hasContent() {
		h := e.header()
		buf, err := paxtar.Append(p.buf, &h)
		if err != nil {
			return err
		}
		p.buf = buf
		return nil
	}
	c, err := openContent(r, e)
	if err != nil {
		return err
	}
	defer c.close()
	buf, err := paxtar.Append(p.buf, &c.Header)
	if err != nil {
		return err
	}
	if p.buf, err = c.appendTo(buf); err != nil {
		return err
	}
	p.buf = append(p.buf, paxtar.Padding(c.Stored())...)
	p.bytes += c.Stored()
	return c.verify()
}

// write puts out one piece.
func (e *emitter) write(ctx context.Context, p *piece) error {
	e.report.Files += int64(len(p.entries))
	switch {
	case p.reuse.length > 0:
		return e.writeReuse(p)
	case p.large:
		if err := e.writeLarge(ctx, &p.entries[0]); err != nil {
			return fmt.Errorf("capture %q: %w", p.entries[0].path(), err)
		}
		return nil
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if p.err != nil {
		return p.err
	}
	e.report.Bytes += p.bytes
	err := e.writePiece(p)
	buffers.Put(&p.buf)
	return err
}

// writePiece puts out the bytes of a piece, segment by segment.
func (e *emitter) writePiece(p *piece) error {
	start, done := e.offset, int64(0)
	for i, at := range p.places {
		if p.entries[i].starts {
			if err := e.put(p.buf[done:at.offset]); err != nil {
				return err
			}
			if err := e.cut(); err != nil {
				return err
			}
			done = at.offset
		}
		at.offset += start
		e.note(&p.entries[i], at)
	}
	return e.put(p.buf[done:])
}

func (e *emitter) note(entry *entry, at placed) {
	if e.mark != nil {
		e.mark(entry, at)
	}
}

func (e *emitter) put(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	n, err := e.out.Write(b)
	e.offset += int64(n)
	if err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	return nil
}

// writeLarge streams one file; a second goroutine reads while this one writes.
func (e *emitter) writeLarge(ctx context.Context, entry *entry) error {
	c, err := openContent(e.root, entry)
	if err != nil {
		return err
	}
	defer c.close()
	if err := e.cut(); err != nil {
		return err
	}
	start := e.offset
	head, err := paxtar.Append(nil, &c.Header)
	if err != nil {
		return err
	}
	if err := e.put(head); err != nil {
		return err
	}
	if err := e.stream(ctx, c); err != nil {
		return err
	}
	if err := e.put(paxtar.Padding(c.Stored())); err != nil {
		return err
	}
	e.report.Bytes += c.Stored()
	e.note(entry, placed{start, e.offset - start, c.Stored()})
	return c.verify()
}

func (e *emitter) stream(ctx context.Context, c *content) error {
	ctx, cancel := context.WithCancel(ctx)
	full, free := make(chan []byte, 2), make(chan []byte, 2)
	for range cap(free) {
		free <- make([]byte, min(chunkBytes, c.Stored()))
	}
	var failed error
	var reader sync.WaitGroup
	defer reader.Wait()
	defer cancel()
	reader.Go(func() {
		defer close(full)
		failed = c.runs(func(offset, length int64) error {
			for length > 0 {
				select {
				case <-ctx.Done():
					return ctx.Err()
				case buf := <-free:
					buf = buf[:min(int64(cap(buf)), length)]
					if err := readFull(c.fd, buf, offset); err != nil {
						return err
					}
					offset += int64(len(buf))
					length -= int64(len(buf))
					full <- buf // never blocks: there are as many places as buffers
				}
			}
			return nil
		})
	})
	for buf := range full {
		if err := e.put(buf); err != nil {
			return err
		}
		free <- buf[:cap(buf)]
	}
	return failed
}
