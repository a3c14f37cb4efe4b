// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// A root is an open directory below which all work is done. Names below it are
// relative and resolved by the kernel, which is told never to leave the
// directory, never to follow a symlink and never to cross into a mount.
type root struct{ fd int }

// resolve is what keeps a name below its root, whoever renames what meanwhile.
const resolve = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV

func openRoot(dir string) (root, error) {
	fd, err := retry(func() (int, error) {
		return unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return root{}, fmt.Errorf("open volume %s: %w", dir, err)
	}
	return root{fd}, nil
}

func (r root) close() { unix.Close(r.fd) }

// open opens the name below the root. Names longer than the kernel takes at
// once are walked in pieces.
func (r root) open(name string, flags uint64, mode uint32) (int, error) {
	from := r.fd
	for len(name) >= maxPath {
		cut := strings.LastIndexByte(name[:maxPath], '/')
		if cut < 0 {
			closeBut(from, r.fd)
			return -1, unix.ENAMETOOLONG
		}
		next, err := openat2(from, name[:cut], unix.O_PATH|unix.O_DIRECTORY, 0)
		closeBut(from, r.fd)
		if err != nil {
			return -1, err
		}
		from, name = next, name[cut+1:]
	}
	fd, err := openat2(from, name, flags, mode)
	closeBut(from, r.fd)
	return fd, err
}

// openDir opens the directory name and returns it as a root of its own.
func (r root) openDir(name string) (root, error) {
	fd, err := r.open(name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	return root{fd}, err
}

// proc returns a path by which system calls that take no directory reach
// name, which is one element. The l… variants of such calls do not follow it.
func (r root) proc(name string) string {
	return "/proc/self/fd/" + strconv.Itoa(r.fd) + "/" + name
}

func closeBut(fd, keep int) {
	if fd != keep {
		unix.Close(fd)
	}
}

// maxRaces bounds how often a look-up is repeated that a rename has disturbed.
const maxRaces = 100

func openat2(dir int, name string, flags uint64, mode uint32) (int, error) {
	how := unix.OpenHow{Flags: flags | unix.O_CLOEXEC | unix.O_NOFOLLOW, Mode: uint64(mode), Resolve: resolve}
	for range maxRaces {
		fd, err := retry(func() (int, error) { return unix.Openat2(dir, name, &how) })
		if !errors.Is(err, unix.EAGAIN) {
			return fd, err
		}
	}
	return -1, unix.EAGAIN
}

// retry repeats a call that a signal has interrupted.
func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != unix.EINTR {
			return n, err
		}
	}
}

// direntBytes is how much of a directory is read at a time.
const direntBytes = 32 << 10

var direntBuffers = sync.Pool{New: func() any { return new([direntBytes]byte) }}

// names lists a directory, in no order, from where its descriptor stands: once
// for each time it was opened.
func (r root) names() ([]string, error) {
	buf := direntBuffers.Get().(*[direntBytes]byte)
	defer direntBuffers.Put(buf)
	var names []string
	for {
		n, err := retry(func() (int, error) { return unix.Getdents(r.fd, buf[:]) })
		if err != nil {
			return nil, fmt.Errorf("read directory: %w", err)
		}
		if n == 0 {
			return names, nil
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
}
