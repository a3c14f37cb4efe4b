// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/durabledir/paxtar"
)

// A restorer makes the entries of an archive, in order. Small files are left
// to several writers.
type restorer struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	root   root
	in     *paxtar.Reader
	opts   RestoreOptions
	report Report

	// parent is the directory of the last entry, named dir.
	parent *sharedDir
	dir    string

	top     bool              // whether the root's own entry has come
	dirs    []*paxtar.Header  // their attributes come last, when nothing is added to them any more
	shared  []*paxtar.Header  // files of other volumes too
	links   []*paxtar.Header  // made when all files are there
	files   chan *pending     // to the writers
	writers sync.WaitGroup    // of files
	ignored map[string]string // names of extended attributes, and the first entry that has one
}

// A pending file is still to be made.
type pending struct {
	*paxtar.Header
	dir  *sharedDir
	base string
	buf  *[]byte
}

// A sharedDir is closed when its last user releases it.
type sharedDir struct {
	root
	users atomic.Int32
}

func share(r root) *sharedDir {
	d := &sharedDir{root: r}
	d.users.Store(1)
	return d
}

func (d *sharedDir) hold() *sharedDir {
	d.users.Add(1)
	return d
}

func (d *sharedDir) release() {
	if d.users.Add(-1) == 0 {
		d.close()
	}
}

func newRestorer(ctx context.Context, top root, in *paxtar.Reader, opts RestoreOptions) *restorer {
	ctx, cancel := context.WithCancelCause(ctx)
	return &restorer{
		ctx: ctx, cancel: cancel, root: top, dir: ".", in: in, opts: opts,
		files: make(chan *pending, opts.writers()), ignored: map[string]string{},
	}
}

func (s *restorer) run() error {
	here, err := s.root.openDir(".")
	if err != nil {
		return err
	}
	s.parent = share(here)
	for range s.opts.writers() {
		s.writers.Go(s.write)
	}
	err = s.readAll()
	close(s.files)
	s.writers.Wait()
	s.parent.release()
	if failed := context.Cause(s.ctx); failed != nil {
		return failed // what stopped the reading, if anything did
	}
	s.cancel(nil)
	if err != nil {
		return err
	}
	if err := s.makeLinks(); err != nil {
		return err
	}
	return s.finishDirs()
}

func (s *restorer) readAll() error {
	for s.ctx.Err() == nil {
		h, err := s.in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.allow(h); err != nil {
			return err
		}
		if err := s.entry(h); err != nil {
			return s.explain(h, err)
		}
	}
	return nil
}

// allow applies the policies to an entry.
func (s *restorer) allow(h *paxtar.Header) error {
	s.report.Files++
	s.report.Bytes += h.Stored()
	refuse := func(reason error, format string, args ...any) error {
		return &RefusedError{Name: h.Name, Reason: reason, Detail: fmt.Sprintf(format, args...)}
	}
	switch {
	case s.opts.MaxFiles > 0 && s.report.Files > s.opts.MaxFiles:
		return refuse(ErrLimit, "more than %d entries", s.opts.MaxFiles)
	case s.opts.MaxBytes > 0 && s.report.Bytes > s.opts.MaxBytes:
		return refuse(ErrLimit, "more than %d bytes", s.opts.MaxBytes)
	case (h.Type == paxtar.CharDevice || h.Type == paxtar.BlockDevice) && !s.opts.Devices:
		return refuse(ErrDevice, "")
	}
	const setid = unix.S_ISUID | unix.S_ISGID
	if h.Mode&setid != 0 && (h.Type == paxtar.Regular || h.Type == paxtar.FIFO) {
		switch s.opts.Setuid {
		case SetuidRefuse:
			return refuse(ErrSetuid, "mode %#o", h.Mode)
		case SetuidClear:
			list(&s.report.Warnings, "%q: mode %#o restored without setuid and setgid", h.Name, h.Mode)
			h.Mode &^= setid
		}
	}
	h.Xattrs = s.allowXattrs(h)
	return nil
}

// entry makes one entry.
func (s *restorer) entry(h *paxtar.Header) error {
	if h.Name == "." {
		if s.top {
			return unix.EEXIST
		}
		s.top = true
		s.dirs = append(s.dirs, h)
		return nil
	}
	if h.Type == paxtar.Link {
		s.links = append(s.links, h)
		return nil
	}
	dir, base := split(h.Name)
	if err := s.enter(dir); err != nil {
		return &RefusedError{Name: h.Name, Reason: ErrParent, Detail: err.Error()}
	}
	switch h.Type {
	case paxtar.Regular:
		if h.Shared != "" && s.opts.Links != nil {
			s.shared = append(s.shared, h)
		}
		return s.file(h, base)
	case paxtar.Dir:
		s.dirs = append(s.dirs, h)
		return unix.Mkdirat(s.parent.fd, base, 0o700)
	case paxtar.Symlink:
		if err := unix.Symlinkat(h.Linkname, s.parent.fd, base); err != nil {
			return err
		}
	case paxtar.FIFO:
		if err := unix.Mknodat(s.parent.fd, base, unix.S_IFIFO|0o600, 0); err != nil {
			return err
		}
	case paxtar.CharDevice, paxtar.BlockDevice:
		kind := uint32(unix.S_IFCHR)
		if h.Type == paxtar.BlockDevice {
			kind = unix.S_IFBLK
		}
		if err := unix.Mknodat(s.parent.fd, base, kind|0o600, int(unix.Mkdev(h.Major, h.Minor))); err != nil {
			return err
		}
	}
	return s.finishSpecial(h, base)
}

// enter makes dir the parent of what follows.
func (s *restorer) enter(dir string) error {
	if dir == s.dir {
		return nil
	}
	from, name := s.root, dir
	if len(dir) > len(s.dir) && dir[:len(s.dir)] == s.dir && dir[len(s.dir)] == '/' {
		from, name = s.parent.root, dir[len(s.dir)+1:]
	}
	next, err := from.openDir(name)
	if err != nil {
		return err
	}
	s.parent.release()
	s.parent, s.dir = share(next), dir
	return nil
}

// file reads a regular file. Large and sparse ones are made at once.
func (s *restorer) file(h *paxtar.Header, base string) error {
	if h.Size > maxSmall || h.Sparse {
		return s.makeFile(h, s.parent.root, base, func(fd int) error { return s.stream(h, fd) })
	}
	p := &pending{Header: h, base: base, buf: buffers.Get().(*[]byte)}
	*p.buf = slices.Grow((*p.buf)[:0], int(h.Size))[:h.Size]
	if _, err := io.ReadFull(s.in, *p.buf); err != nil {
		return err
	}
	p.dir = s.parent.hold()
	select {
	case s.files <- p:
		return nil
	case <-s.ctx.Done():
		p.dir.release()
		return context.Cause(s.ctx)
	}
}

// write is one writer.
func (s *restorer) write() {
	for p := range s.files {
		err := s.makeFile(p.Header, p.dir.root, p.base, func(fd int) error { return writeFull(fd, *p.buf, 0) })
		p.dir.release()
		buffers.Put(p.buf)
		if err != nil {
			s.cancel(s.explain(p.Header, err))
		}
	}
}

// makeFile makes a regular file that does not exist yet.
func (s *restorer) makeFile(h *paxtar.Header, dir root, base string, fill func(fd int) error) error {
	fd, err := openat2(dir.fd, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := fill(fd); err != nil {
		return err
	}
	return s.finishFile(h, fd)
}

// stream copies the content of a large or sparse file to where it belongs.
func (s *restorer) stream(h *paxtar.Header, fd int) error {
	runs := h.Extents
	if !h.Sparse {
		runs = []paxtar.Extent{{Length: h.Size}}
	}
	buf := make([]byte, min(chunkBytes, h.Stored()))
	for _, run := range runs {
		for run.Length > 0 {
			if s.ctx.Err() != nil {
				return context.Cause(s.ctx)
			}
			part := buf[:min(int64(len(buf)), run.Length)]
			if _, err := io.ReadFull(s.in, part); err != nil {
				return err
			}
			if err := writeFull(fd, part, run.Offset); err != nil {
				return err
			}
			run.Offset += int64(len(part))
			run.Length -= int64(len(part))
		}
	}
	if h.Sparse {
		return unix.Ftruncate(fd, h.Size)
	}
	return nil
}

func writeFull(fd int, p []byte, offset int64) error {
	for len(p) > 0 {
		n, err := retry(func() (int, error) { return unix.Pwrite(fd, p, offset) })
		if err != nil {
			return fmt.Errorf("write at byte %d: %w", offset, err)
		}
		p, offset = p[n:], offset+int64(n)
	}
	return nil
}

// explain gives an error its entry, and a reason where there is one.
func (s *restorer) explain(h *paxtar.Header, err error) error {
	var refused *RefusedError
	var malformed *paxtar.Error
	switch {
	case errors.As(err, &refused), errors.As(err, &malformed):
		return err
	case errors.Is(err, unix.EEXIST):
		return &RefusedError{Name: h.Name, Reason: ErrDuplicate}
	}
	return fmt.Errorf("restore %q: %w", h.Name, err)
}

// makeLinks makes the hard links.
func (s *restorer) makeLinks() error {
	for _, h := range s.links {
		if err := s.makeLink(h); err != nil {
			return s.explain(h, err)
		}
	}
	return nil
}

func (s *restorer) makeLink(h *paxtar.Header) error {
	dir, base := split(h.Name)
	to, err := s.root.openDir(dir)
	if err != nil {
		return &RefusedError{Name: h.Name, Reason: ErrParent, Detail: err.Error()}
	}
	defer to.close()
	dir, target := split(h.Linkname)
	from, err := s.root.openDir(dir)
	if err != nil {
		return &RefusedError{Name: h.Name, Reason: ErrLink, Detail: fmt.Sprintf("%q: %v", h.Linkname, err)}
	}
	defer from.close()
	err = unix.Linkat(from.fd, target, to.fd, base, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EPERM) { // EPERM: a directory
		return &RefusedError{Name: h.Name, Reason: ErrLink, Detail: fmt.Sprintf("%q: %v", h.Linkname, err)}
	}
	return err
}
