// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/durabledir/paxtar"
)

// A content is an open regular file: in the volume, or in a spool, where its
// extents lie one after the other.
type content struct {
	fd    int
	owned bool // whether close closes fd
	stat  stat
	paxtar.Header
	spooled bool
	base    int64 // in the spool
}

// openContent opens the file of an entry and reads what its header needs.
func openContent(r root, e *entry) (*content, error) {
	if e.kept != nil {
		return e.kept.open(e), nil
	}
	// O_NONBLOCK: a FIFO that took the file's place must not stop a capture.
	flags := uint64(unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY)
	fd, err := r.open(e.path(), flags|unix.O_NOATIME, 0)
	if errors.Is(err, unix.EPERM) { // the file is another user's
		fd, err = r.open(e.path(), flags, 0)
	}
	if err != nil {
		return nil, explain(err)
	}
	c := &content{fd: fd, owned: true}
	if err := c.read(e); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// read fills the header.
func (c *content) read(e *entry) (err error) {
	if c.stat, err = statFD(c.fd); err != nil {
		return err
	}
	if !c.stat.unchanged(&e.stat) {
		return ErrChanged
	}
	c.Header = e.fileHeader(&c.stat)
	if c.Xattrs, err = xattrsFD(c.fd); err != nil {
		return err
	}
	c.Extents, c.Sparse, err = extents(c.fd, &c.stat)
	return err
}

// fileHeader makes the header of a regular file, as far as s tells.
func (e *entry) fileHeader(s *stat) paxtar.Header {
	return paxtar.Header{
		Type: paxtar.Regular, Name: e.path(), Mode: s.mode & 0o7777, UID: s.uid, GID: s.gid, ModTime: s.mtime, Size: s.size, Shared: e.shared,
	}
}

// verify reports ErrChanged if the file is not what it was when it was opened.
func (c *content) verify() error {
	if c.spooled {
		return nil
	}
	now, err := statFD(c.fd)
	if err != nil {
		return err
	}
	if !c.stat.unchanged(&now) {
		return ErrChanged
	}
	return nil
}

func (c *content) close() {
	if c.owned {
		unix.Close(c.fd)
	}
}

// runs calls do for each run of bytes that lie together in c.fd, in the order
// of the archive.
func (c *content) runs(do func(offset, length int64) error) error {
	switch {
	case c.spooled:
		return do(c.base, c.Stored())
	case !c.Sparse:
		return do(0, c.Size)
	}
	for _, e := range c.Extents {
		if err := do(e.Offset, e.Length); err != nil {
			return err
		}
	}
	return nil
}

// appendTo appends the whole content.
func (c *content) appendTo(buf []byte) ([]byte, error) {
	err := c.runs(func(offset, length int64) error {
		n := len(buf)
		buf = slices.Grow(buf, int(length))[:n+int(length)]
		return readFull(c.fd, buf[n:], offset)
	})
	return buf, err
}

// readFull reads a range that must be there.
func readFull(fd int, p []byte, offset int64) error {
	for len(p) > 0 {
		n, err := retry(func() (int, error) { return unix.Pread(fd, p, offset) })
		if err != nil {
			return fmt.Errorf("read at byte %d: %w", offset, err)
		}
		if n == 0 {
			return ErrChanged // the file became shorter
		}
		p, offset = p[n:], offset+int64(n)
	}
	return nil
}
