// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package paxtar

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxPadding bounds the zero bytes that may follow an archive's end: more than
// the largest record size in use.
const maxPadding = 64 << 10

// A Reader reads an archive from front to back. Its methods may not be called
// at the same time.
type Reader struct {
	in     *bufio.Reader
	offset int64 // in the archive
	start  int64 // of the entry whose header is being read
	name   string
	left   int64 // content of the current entry still to come
	pad    int64 // zero bytes after it
	done   bool
	buf    [blockSize]byte
}

// NewReader returns a Reader that reads ahead of what it returns.
func NewReader(r io.Reader) *Reader {
	return &Reader{in: bufio.NewReaderSize(r, 64<<10)}
}

// Offset returns how many bytes of the archive have been consumed: after Next,
// the place where the entry's content begins.
func (r *Reader) Offset() int64 { return r.offset }

// Next skips what is left of the current entry and returns the next header. At
// the end of the archive, when nothing but padding follows, it returns io.EOF.
func (r *Reader) Next() (*Header, error) {
	if r.done {
		return nil, io.EOF
	}
	if err := r.skipEntry(); err != nil {
		return nil, err
	}
	r.start, r.name = r.offset, ""
	b, err := r.block()
	if err != nil {
		return nil, err
	}
	if isZero(b) {
		return nil, r.end()
	}
	var records *records
	if b[156] == 'x' {
		if records, err = r.records(b); err != nil {
			return nil, err
		}
		if b, err = r.block(); err != nil {
			return nil, err
		}
	}
	return r.header(b, records)
}

// Read reads the content of the current entry: the bytes of a sparse file's
// extents one after the other, without its holes.
func (r *Reader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), r.left)]
	n, err := r.in.Read(p)
	r.offset += int64(n)
	r.left -= int64(n)
	return n, r.short(err)
}

// short says that the end of the input came too early. Other errors are the
// input's own.
func (r *Reader) short(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return r.refuse(ErrTruncated, "")
	}
	return err
}

func (r *Reader) refuse(reason error, format string, args ...any) error {
	return &Error{Offset: r.start, Name: r.name, Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

// block reads one block. It is valid until the next call.
func (r *Reader) block() ([]byte, error) {
	n, err := io.ReadFull(r.in, r.buf[:])
	r.offset += int64(n)
	if err != nil {
		return nil, r.short(err)
	}
	return r.buf[:], nil
}

func (r *Reader) skipEntry() error {
	if _, err := io.CopyN(io.Discard, r, r.left); err != nil {
		return err
	}
	return r.padding()
}

// padding reads the zero bytes that fill an entry's last block.
func (r *Reader) padding() error {
	if r.pad == 0 {
		return nil
	}
	b, err := r.in.Peek(int(r.pad))
	if err != nil {
		return r.short(err)
	}
	if !isZero(b) {
		return r.refuse(ErrFormat, "data in the padding")
	}
	r.in.Discard(int(r.pad))
	r.offset += r.pad
	r.pad = 0
	return nil
}

// end reads what follows the first of the two zero blocks that end an archive.
func (r *Reader) end() error {
	b, err := r.block()
	if err != nil {
		return err
	}
	if !isZero(b) {
		return r.refuse(ErrTrailing, "a header follows a zero block")
	}
	rest, err := io.ReadAll(io.LimitReader(r.in, maxPadding+1))
	if err != nil {
		return err
	}
	r.start = r.offset
	r.offset += int64(len(rest))
	switch {
	case !isZero(rest):
		return r.refuse(ErrTrailing, "")
	case len(rest) > maxPadding:
		return r.refuse(ErrTrailing, "more than %d bytes of padding", maxPadding)
	}
	r.done = true
	return io.EOF
}

// header makes a Header of a block and the records before it, if there are any.
func (r *Reader) header(b []byte, rec *records) (*Header, error) {
	f, err := r.parseBlock(b)
	if err != nil {
		return nil, err
	}
	if rec == nil {
		rec = &records{}
	}
	h := &Header{
		Type: Type(f.flag), Mode: f.mode, UID: f.uid, GID: f.gid, ModTime: Time{Sec: f.mtime},
		Name: f.name, Linkname: f.linkname, Size: f.size, Major: f.major, Minor: f.minor, Xattrs: rec.xattrs, Shared: rec.shared,
	}
	if err := rec.overlay(r, h); err != nil {
		return nil, err
	}
	if err := r.checkHeader(h, rec); err != nil {
		return nil, err
	}
	r.left = h.Size
	r.pad = -h.Size & (blockSize - 1)
	if rec.sparse() {
		if err := r.readMap(h, rec); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// checkHeader checks what does not depend on how it was written.
func (r *Reader) checkHeader(h *Header, rec *records) error {
	if h.Type < Regular || h.Type > FIFO {
		return r.refuse(ErrType, "%s", h.Type)
	}
	name, err := cleanName(h.Name, h.Type == Dir)
	if err != nil {
		return r.refuse(ErrName, "%v", err)
	}
	h.Name, r.name = name, name
	if h.Mode&^0o7777 != 0 {
		return r.refuse(ErrFormat, "mode %#o has more than permission bits", h.Mode)
	}
	if h.Type != Regular && h.Size != 0 {
		return r.refuse(ErrSize, "a %s with %d bytes of content", h.Type, h.Size)
	}
	if h.Type != Regular && h.Shared != "" {
		return r.refuse(ErrRecord, "a %s with %s", h.Type, keyShared)
	}
	if h.Type != Regular && rec.sparse() {
		return r.refuse(ErrSparse, "a %s with holes", h.Type)
	}
	switch h.Type {
	case Regular, Dir, FIFO:
		h.Linkname, h.Major, h.Minor = "", 0, 0
		if rec.linkname != nil {
			return r.refuse(ErrRecord, "a %s with a linkpath", h.Type)
		}
	case CharDevice, BlockDevice:
		h.Linkname = ""
	case Link:
		if h.Linkname, err = cleanName(h.Linkname, false); err != nil {
			return r.refuse(ErrName, "hard link: %v", err)
		}
	case Symlink:
		if err := checkTarget(h.Linkname); err != nil {
			return r.refuse(ErrName, "%v", err)
		}
	}
	return nil
}

const (
	maxComponent = 255  // NAME_MAX of Linux
	maxTarget    = 4095 // PATH_MAX of Linux without the closing NUL
)

// cleanName returns a name without the "./" and "/" that tools put around it.
func cleanName(name string, dir bool) (string, error) {
	if strings.IndexByte(name, 0) >= 0 {
		return "", fmt.Errorf("%q holds a NUL", name)
	}
	if dir {
		name = strings.TrimSuffix(name, "/")
	}
	if dir && name == "." {
		return name, nil
	}
	name = strings.TrimPrefix(name, "./")
	if name == "" {
		return "", errors.New("empty")
	}
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "" || part == "." || part == "..":
			return "", fmt.Errorf("%q has the element %q", name, part)
		case len(part) > maxComponent:
			return "", fmt.Errorf("an element of %d bytes, more than %d", len(part), maxComponent)
		}
	}
	return name, nil
}

// checkTarget checks what a symlink holds. It may point anywhere: nothing
// follows it but the programs in the sandbox.
func checkTarget(target string) error {
	switch {
	case target == "":
		return errors.New("symlink to nothing")
	case strings.IndexByte(target, 0) >= 0:
		return fmt.Errorf("symlink to %q, which holds a NUL", target)
	case len(target) > maxTarget:
		return fmt.Errorf("symlink to a name of %d bytes, more than %d", len(target), maxTarget)
	}
	return nil
}

func isZero(b []byte) bool {
	for len(b) > blockSize {
		if !bytes.Equal(b[:blockSize], zeros[:]) {
			return false
		}
		b = b[blockSize:]
	}
	return bytes.Equal(b, zeros[:len(b)])
}
