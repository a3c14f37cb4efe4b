// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/durabledir/paxtar"
)

// A node is one file of a scanned volume.
type node struct {
	parent *node // nil for the top
	name   string
	stat   stat
	// children of a directory, sorted by name as bytes.
	children []*node
	// xattrs and target of anything but a regular file: those of regular files
	// are read with their content.
	xattrs []paxtar.Xattr
	target string
	// kept is the content where it is not read from the volume.
	kept *kept
}

// path returns the node's name below the root.
func (n *node) path() string {
	if n.parent == nil {
		return "."
	}
	size := 0
	for a := n; a.parent != nil; a = a.parent {
		size += len(a.name) + 1
	}
	b := make([]byte, size-1)
	end := len(b)
	for a := n; a.parent != nil; a = a.parent {
		end -= len(a.name)
		copy(b[end:], a.name)
		if end > 0 {
			end--
			b[end] = '/'
		}
	}
	return string(b)
}

// A scanner reads names and attributes of a whole volume.
type scanner struct {
	ctx  context.Context
	root root
	// live says that the volume changes meanwhile: a name that vanishes is
	// passed over, where otherwise it is an error.
	live  bool
	slots chan struct{} // one for each further goroutine
	group sync.WaitGroup
	mu    sync.Mutex
	err   error
}

// scan returns the top node of the volume.
func scan(ctx context.Context, r root, parallel int, live bool) (*node, error) {
	s := &scanner{ctx: ctx, root: r, live: live, slots: make(chan struct{}, parallel-1)}
	top := &node{}
	st, err := statFD(r.fd)
	if err != nil {
		return nil, fmt.Errorf("scan volume: %w", err)
	}
	top.stat = st
	s.dir(top)
	s.group.Wait()
	if s.err != nil {
		return nil, s.err
	}
	return top, ctx.Err()
}

func (s *scanner) fail(n *node, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = fmt.Errorf("scan %q: %w", n.path(), explain(err))
	}
}

func (s *scanner) failed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err != nil || s.ctx.Err() != nil
}

// dir scans one directory and, in further goroutines as far as there are
// slots, those below it.
func (s *scanner) dir(n *node) {
	if s.failed() {
		return
	}
	d, err := s.root.openDir(n.path())
	if err == nil {
		err = s.children(n, d)
		d.close()
	}
	if err != nil && !(s.live && vanished(err)) {
		s.fail(n, err)
		return
	}
	for _, c := range n.children {
		if !c.stat.isDir() {
			continue
		}
		select {
		case s.slots <- struct{}{}:
			s.group.Go(func() {
				s.dir(c)
				<-s.slots
			})
		default:
			s.dir(c)
		}
	}
}

// children reads what is in the directory d, which is n.
func (s *scanner) children(n *node, d root) (err error) {
	if n.xattrs, err = xattrsFD(d.fd); err != nil {
		return err
	}
	names, err := d.names()
	if err != nil {
		return err
	}
	slices.Sort(names)
	nodes := make([]node, len(names))
	n.children = make([]*node, 0, len(names))
	for i, name := range names {
		c := &nodes[i]
		c.parent, c.name = n, name
		if c.stat, err = statAt(d, name); err == nil {
			err = readSpecial(c, d)
		}
		if s.live && vanished(err) {
			continue
		}
		if err != nil {
			s.fail(c, err)
			return nil
		}
		n.children = append(n.children, c)
	}
	return nil
}

// readSpecial reads what belongs to a file that has no content.
func readSpecial(c *node, d root) (err error) {
	switch c.stat.format() {
	case unix.S_IFREG, unix.S_IFDIR, unix.S_IFSOCK:
		return nil
	case unix.S_IFLNK:
		buf := make([]byte, max(c.stat.size+1, 128))
		n, err := retry(func() (int, error) { return unix.Readlinkat(d.fd, c.name, buf) })
		if err != nil {
			return err
		}
		if n == len(buf) {
			return ErrChanged
		}
		c.target = strings.Clone(string(buf[:n]))
	}
	c.xattrs, err = xattrsAt(d, c.name)
	return err
}

// vanished reports whether err tells that a name is gone or has become another
// kind of file since it was listed.
func vanished(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) ||
		errors.Is(err, unix.EINVAL) || errors.Is(err, ErrChanged)
}

// explain turns what the kernel says of a name into what it means for a capture.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.EXDEV):
		return ErrMount
	case errors.Is(err, ErrChanged):
		return err
	case vanished(err):
		return fmt.Errorf("%w (%w)", ErrChanged, err)
	}
	return err
}
