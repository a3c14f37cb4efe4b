// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"errors"
	"fmt"
)

// cut tells a Segmenter that a segment ends.
func (e *emitter) cut() error {
	s, ok := e.out.(Segmenter)
	if !ok {
		return nil
	}
	if err := s.Cut(); err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	return nil
}

// writeReuse puts out segments that the previous archive has.
func (e *emitter) writeReuse(p *piece) error {
	s, ok := e.out.(Segmenter)
	if !ok {
		return errors.New("reuse the previous archive: it is not at hand")
	}
	at := e.offset
	for i := range p.entries {
		now := p.entries[i].old
		now.offset = at
		e.note(&p.entries[i], now)
		at += now.length
		e.report.Bytes += now.stored
	}
	if err := e.cut(); err != nil {
		return err
	}
	e.offset += p.reuse.length
	if err := s.Reuse(p.reuse.offset, p.reuse.length); err != nil {
		return fmt.Errorf("reuse the previous archive: %w", err)
	}
	return nil
}
