// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// A clientFile is a file of runsc's that bytes are read from or written to: a
// sandbox's memory, or a buffer. It is used by descriptor and not by the
// mapping that the protocol offers: what is hashed is then a private copy that
// nobody changes afterwards, the gofer's memory stays flat, and a file that
// runsc cuts short under us is an error, not a SIGBUS.
type clientFile struct {
	f *os.File
	// charger is asked for what is written, as the file of that number; nil for none.
	charger *charger
	number  int
}

// newClientFile takes its own reference on fd.
func newClientFile(fd int32) (*clientFile, error) {
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("duplicate descriptor: %w", err)
	}
	return &clientFile{f: os.NewFile(uintptr(dup), "client file")}, nil
}

// readFull fills p from offset off.
func (c *clientFile) readFull(p []byte, off uint64) error {
	n, err := c.f.ReadAt(p, int64(off))
	if n == len(p) {
		return nil
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read sandbox memory at %d: %w", off, err)
}

// claim has the stretches, which are about to be written, charged to the sandbox; politely,
// for whoever does nothing that others wait for.
func (c *clientFile) claim(stretches []stretch, politely bool) error {
	if c.charger == nil {
		return nil
	}
	if err := c.charger.claim(c.number, stretches, politely); err != nil {
		return fmt.Errorf("make sandbox memory at %d: %w", stretches[0].off, err)
	}
	return nil
}

// write puts p at offset off.
func (c *clientFile) write(p []byte, off uint64) error {
	if _, err := c.f.WriteAt(p, int64(off)); err != nil {
		return fmt.Errorf("write sandbox memory at %d: %w", off, err)
	}
	return nil
}

// clientFiles owns the client files registered for one file of the checkpoint.
type clientFiles struct {
	charger *charger

	mu    sync.Mutex
	files []*clientFile
}

// maxClientFiles bounds registrations: a sandbox has a memory file and one
// filestore for each of its containers' writable mounts.
const maxClientFiles = 4096

func (s *clientFiles) register(fd int32) (*clientFile, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.files) >= maxClientFiles {
		return nil, fmt.Errorf("register file: more than %d: %w", maxClientFiles, unix.EMFILE)
	}
	c, err := newClientFile(fd)
	if err != nil {
		return nil, err
	}
	s.files = append(s.files, c)
	number, memory, err := s.charger.register(c.f)
	if err != nil {
		return nil, err
	}
	if memory {
		c.charger, c.number = s.charger, number
	}
	return c, nil
}

func (s *clientFiles) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.files {
		c.f.Close()
	}
	s.files = nil
}
