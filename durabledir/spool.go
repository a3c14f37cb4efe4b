// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/durabledir/paxtar"
)

// A spool is a temporary file without a name that keeps the content of others.
// Several goroutines may add to it.
type spool struct {
	fd   int
	next atomic.Int64 // where nothing is yet
}

func openSpool(dir string) (*spool, error) {
	fd, err := retry(func() (int, error) { return unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600) })
	if err != nil {
		return nil, fmt.Errorf("make a spool in %s: %w", dir, err)
	}
	return &spool{fd: fd}, nil
}

func (s *spool) close() error { return unix.Close(s.fd) }

// A kept is the content of a regular file in a spool, and what its header needs.
type kept struct {
	fd      int // of the spool
	base    int64
	stat    stat
	xattrs  []paxtar.Xattr
	sparse  bool
	extents []paxtar.Extent
	// writtenBack says that the file had no dirty pages when it was read.
	writtenBack bool
}

// open returns the content as that of e, which may have got another name.
func (k *kept) open(e *entry) *content {
	c := &content{fd: k.fd, stat: k.stat, spooled: true, base: k.base, Header: e.fileHeader(&k.stat)}
	c.Xattrs, c.Sparse, c.Extents = k.xattrs, k.sparse, k.extents
	return c
}

// keep copies the content of an entry's file, written back first if sync says so.
func (s *spool) keep(r root, e *entry, sync bool) (*kept, error) {
	c, err := openContent(r, e)
	if err != nil {
		return nil, err
	}
	defer c.close()
	if sync {
		if err := writeBack(c.fd); err != nil {
			return nil, fmt.Errorf("write back: %w", err)
		}
	}
	stored := c.Stored()
	k := &kept{fd: s.fd, base: s.reserve(stored), stat: c.stat, xattrs: c.Xattrs, sparse: c.Sparse, extents: c.Extents}
	if stored <= maxSmall {
		err = s.copySmall(c, k.base)
	} else {
		err = s.copyLarge(c, k.base)
	}
	if err != nil {
		return nil, err
	}
	return k, c.verify()
}

// reserve returns where n bytes may be put: at a block boundary if blocks
// might be shared.
func (s *spool) reserve(n int64) int64 {
	if n > maxSmall {
		// Room to align within.
		at := s.next.Add(n+2*holeAlign) - n - holeAlign
		return at &^ (holeAlign - 1)
	}
	return s.next.Add(n) - n
}

func (s *spool) copySmall(c *content, to int64) error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	var err error
	if *buf, err = c.appendTo((*buf)[:0]); err != nil {
		return err
	}
	return writeFull(s.fd, *buf, to)
}

func (s *spool) copyLarge(c *content, to int64) error {
	return c.runs(func(offset, length int64) error {
		err := s.copyRange(c.fd, offset, to, length)
		to += length
		return err
	})
}

// copyRange lets the kernel copy, which shares blocks where it can: a run of
// whole blocks, and then what is left of the last one.
func (s *spool) copyRange(fd int, from, to, length int64) error {
	for length > 0 {
		part := length
		if whole := length &^ (holeAlign - 1); whole > 0 {
			part = min(whole, maxCopy)
		}
		n, err := retry(func() (int, error) { return unix.CopyFileRange(fd, &from, s.fd, &to, int(part), 0) })
		if errors.Is(err, unix.EXDEV) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
			return s.copyBytes(fd, from, to, length)
		}
		if err != nil {
			return fmt.Errorf("copy to the spool: %w", err)
		}
		if n == 0 {
			return ErrChanged // the file became shorter
		}
		length -= int64(n) // the kernel has moved from and to
	}
	return nil
}

// maxCopy bounds one call of copy_file_range(2), which cannot be interrupted.
const maxCopy = 1 << 30

func (s *spool) copyBytes(fd int, from, to, length int64) error {
	buf := make([]byte, min(chunkBytes, length))
	for length > 0 {
		part := buf[:min(int64(len(buf)), length)]
		if err := readFull(fd, part, from); err != nil {
			return err
		}
		if err := writeFull(s.fd, part, to); err != nil {
			return err
		}
		n := int64(len(part))
		from, to, length = from+n, to+n, length-n
	}
	return nil
}
