// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"errors"
	"fmt"
	"io"
)

// A Reuser is a writer of archives that has the previous one at hand. Instead
// of the bytes of entries that did not change it gets their place there.
type Reuser interface {
	io.Writer
	// Reuse appends length bytes that stand at offset of the previous archive.
	Reuse(offset, length int64) error
}

// writeReuse puts out entries that the previous archive has.
func (e *emitter) writeReuse(p *piece) error {
	at := e.offset
	for i := range p.entries {
		now := p.entries[i].old
		now.offset = at
		e.note(&p.entries[i], now)
		at += now.length
		e.report.Bytes += now.stored
	}
	if r, ok := e.out.(Reuser); ok {
		e.offset += p.reuse.length
		if err := r.Reuse(p.reuse.offset, p.reuse.length); err != nil {
			return fmt.Errorf("reuse the previous archive: %w", err)
		}
		return nil
	}
	if e.previous == nil {
		return errors.New("reuse the previous archive: it is not at hand")
	}
	n, err := io.Copy(e.out, io.NewSectionReader(e.previous, p.reuse.offset, p.reuse.length))
	e.offset += n
	if err == nil && n < p.reuse.length {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("copy from the previous archive: %w", err)
	}
	return nil
}
