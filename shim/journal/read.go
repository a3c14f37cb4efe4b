// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// A Position is how far a Reader has come. The zero Position is before all
// that is there.
type Position struct {
	// File is the inode that the Reader was in, and Offset where in it.
	File   uint64 `json:"file"`
	Offset int64  `json:"offset"`
}

// A Reader reads the journal of a node from a position on, through renames
// and truncation. Its methods may not be called at the same time.
type Reader struct {
	path  string
	start Position
	// current is what is read, and previous the file before: who had opened it
	// when it was renamed may still write to it.
	current, previous *source
}

// NewReader returns a Reader; Close must be called.
func NewReader(runDir string, from Position) *Reader {
	return &Reader{path: Path(runDir), start: from}
}

// A source is one file of the journal and how far it has been read.
type source struct {
	*os.File
	offset int64
}

// Read passes every entry that has come since the last call to take, and every
// line that is none to bad. It waits for nothing. A journal that is not there
// is an empty one.
func (r *Reader) Read(take func(*Entry), bad func(error)) error {
	if r.previous != nil {
		if err := r.previous.drain(take, bad); err != nil {
			return err
		}
	}
	if r.current == nil {
		if err := r.open(take, bad); err != nil || r.current == nil {
			return err
		}
	}
	for {
		if err := r.current.drain(take, bad); err != nil {
			return err
		}
		now, err := os.Stat(r.path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // renamed, and nobody has written since
		}
		if err != nil {
			return fmt.Errorf("read journal: %w", err)
		}
		if r.current.is(now) {
			return nil
		}
		if err := r.advance(take, bad); err != nil {
			return err
		}
	}
}

// open opens the file that the Reader starts in, and reads the one before it,
// as far as it has not been read.
func (r *Reader) open(take func(*Entry), bad func(error)) error {
	old, err := openSource(full(r.path))
	if err != nil {
		return err
	}
	current, err := openSource(r.path)
	if err != nil {
		return errors.Join(err, old.close())
	}
	switch {
	case r.start == Position{}:
	case r.start.File == current.inode():
		current.offset = r.start.Offset
		if err := old.close(); err != nil {
			return err
		}
		old = nil
	case r.start.File == old.inode():
		old.offset = r.start.Offset
	}
	if current == nil {
		// Not yet written since it was renamed: that one stays the current one.
		r.current = old
		return nil
	}
	r.current = current
	if old == nil {
		return nil
	}
	r.previous = old
	return old.drain(take, bad)
}

// advance goes to the next file. If the journal was renamed twice meanwhile,
// there is one between.
func (r *Reader) advance(take func(*Entry), bad func(error)) error {
	next, err := openSource(r.path)
	if err != nil || next == nil {
		return err
	}
	between, err := openSource(full(r.path))
	if err != nil {
		return errors.Join(err, next.close())
	}
	if between.inode() != r.current.inode() && between != nil {
		if err := between.drain(take, bad); err != nil {
			return errors.Join(err, next.close(), between.close())
		}
	}
	err = errors.Join(between.close(), r.previous.close())
	r.previous, r.current = r.current, next
	return err
}

// Position returns how far the Reader has come.
func (r *Reader) Position() Position {
	if r.current == nil {
		return r.start
	}
	return Position{File: r.current.inode(), Offset: r.current.offset}
}

// Close ends the Reader.
func (r *Reader) Close() error { return errors.Join(r.current.close(), r.previous.close()) }

// openSource opens a file; one that is not there is nil.
func openSource(path string) (*source, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	return &source{File: f}, nil
}

func (s *source) close() error {
	if s == nil {
		return nil
	}
	return s.Close()
}

// inode is 0 for no file.
func (s *source) inode() uint64 {
	if s == nil {
		return 0
	}
	fi, err := s.Stat()
	if err != nil {
		return 0
	}
	return inode(fi)
}

func (s *source) is(fi os.FileInfo) bool { return s.inode() == inode(fi) }

func inode(fi os.FileInfo) uint64 { return fi.Sys().(*syscall.Stat_t).Ino }

// drain reads the whole lines from the offset on.
func (s *source) drain(take func(*Entry), bad func(error)) error {
	fi, err := s.Stat()
	if err != nil {
		return fmt.Errorf("read journal: %w", err)
	}
	if fi.Size() < s.offset {
		s.offset = 0 // truncated
	}
	buf := make([]byte, 2*maxLine)
	kept := 0 // bytes of an unfinished line at the beginning of buf
	for {
		n, err := s.ReadAt(buf[kept:], s.offset+int64(kept))
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read journal: %w", err)
		}
		text := buf[:kept+n]
		for {
			line, rest, ok := bytes.Cut(text, []byte("\n"))
			if !ok {
				break
			}
			s.offset += int64(len(line)) + 1
			text = rest
			if e, err := decode(line); err != nil {
				bad(err)
			} else {
				take(e)
			}
		}
		if n == 0 {
			return nil
		}
		if len(text) >= maxLine {
			bad(fmt.Errorf("decode journal entry: %d bytes without an end of line", len(text)))
			s.offset += int64(len(text))
			text = nil
		}
		kept = copy(buf, text)
	}
}
