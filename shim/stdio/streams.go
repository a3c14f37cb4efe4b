// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package stdio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Config names the streams of one process as containerd's requests do.
type Config struct {
	// Stdin, Stdout and Stderr are FIFO paths, or URIs with the scheme fifo,
	// file or binary; empty means none. A terminal has no Stderr.
	Stdin, Stdout, Stderr string
	Terminal              bool
	// ID and Namespace are told to a logging binary.
	ID, Namespace string
}

// Streams are the opened streams of one process. The files are for a child
// process to inherit; Streams keeps them, and Close closes them.
type Streams struct {
	// Stdin, Stdout and Stderr are nil where there is no such stream, and
	// always for a terminal.
	Stdin, Stdout, Stderr *os.File
	// Terminal is set for a process with a terminal.
	Terminal *Terminal

	mu       sync.Mutex
	stdinEnd io.Closer // keeps the process's stdin from its end of file
	closers  []io.Closer
}

// Open opens the streams. On an error nothing stays open.
func Open(ctx context.Context, c Config) (_ *Streams, err error) {
	s := &Streams{}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if c.Terminal {
		if err := s.openTerminal(ctx, c); err != nil {
			return nil, err
		}
		return s, nil
	}
	if c.Stdin != "" {
		if err := s.openStdin(c.Stdin); err != nil {
			return nil, fmt.Errorf("open stdin %s: %w", c.Stdin, err)
		}
	}
	if isBinary(c.Stdout) {
		if s.Stdout, s.Stderr, err = s.openBinary(ctx, c); err != nil {
			return nil, err
		}
		return s, nil
	}
	if s.Stdout, err = s.openOutput(c.Stdout, openInherited); err != nil {
		return nil, fmt.Errorf("open stdout %s: %w", c.Stdout, err)
	}
	if s.Stderr, err = s.openOutput(c.Stderr, openInherited); err != nil {
		return nil, fmt.Errorf("open stderr %s: %w", c.Stderr, err)
	}
	return s, nil
}

// openTerminal opens the streams that the shim joins with a terminal. The
// terminal comes last of the closers, so that it is closed first.
func (s *Streams) openTerminal(ctx context.Context, c Config) (err error) {
	var stdout *os.File
	if isBinary(c.Stdout) {
		stdout, _, err = s.openBinary(ctx, c)
	} else {
		stdout, err = s.openOutput(c.Stdout, openFifo)
	}
	if err != nil {
		return fmt.Errorf("open stdout %s: %w", c.Stdout, err)
	}
	if s.Terminal, err = newTerminal(c.Stdin, stdout); err != nil {
		return fmt.Errorf("open stdin %s: %w", c.Stdin, err)
	}
	s.closers = append(s.closers, s.Terminal)
	return nil
}

// openStdin opens the FIFO for the process to read, and an end for writing
// that keeps it from end of file while writers come and go.
func (s *Streams) openStdin(uri string) error {
	path, err := fifoPath(uri)
	if err != nil {
		return err
	}
	if s.Stdin, err = openInherited(path, unix.O_RDONLY); err != nil {
		return err
	}
	s.closers = append(s.closers, s.Stdin)
	if s.stdinEnd, err = openFifo(path, unix.O_WRONLY); err != nil {
		return err
	}
	return nil
}

// openOutput opens an output stream that is no logging binary. openEnd opens a
// FIFO for who is to write it: openInherited for a process, openFifo for the shim.
func (s *Streams) openOutput(uri string, openEnd func(string, int) (*os.File, error)) (*os.File, error) {
	if uri == "" {
		return nil, nil
	}
	u, err := parseURI(uri)
	if err != nil {
		return nil, err
	}
	var f *os.File
	switch u.Scheme {
	case "fifo":
		// One end for both directions: nobody's leaving gives the process
		// SIGPIPE, and nobody's leaving gives the reader end of file.
		keeper, err := openFifo(u.Path, unix.O_RDWR)
		if err != nil {
			return nil, err
		}
		s.closers = append(s.closers, keeper)
		// The process's own end must not be readable: on a save the sentry
		// drains every pipe that it can read from.
		if f, err = openEnd(u.Path, unix.O_WRONLY); err != nil {
			return nil, err
		}
	case "file":
		if err := os.MkdirAll(filepath.Dir(u.Path), 0o755); err != nil {
			return nil, err
		}
		// A restored process writes at its old offset; with O_APPEND the kernel
		// ignores it, so that nothing is overwritten.
		if f, err = os.OpenFile(u.Path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("scheme %q is none of fifo, file, binary: %w", u.Scheme, errdefs.ErrInvalidArgument)
	}
	s.closers = append(s.closers, f)
	return f, nil
}

// CloseStdin gives the process end of file, once every other writer has left.
func (s *Streams) CloseStdin() error {
	if s.Terminal != nil {
		return s.Terminal.closeStdin()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stdinEnd == nil {
		return nil
	}
	err := s.stdinEnd.Close()
	s.stdinEnd = nil
	return err
}

// Close closes all ends that the shim holds. A reader sees end of file when
// the process's own ends are closed too. Closing twice is no error.
func (s *Streams) Close() error {
	err := s.CloseStdin()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.closers) - 1; i >= 0; i-- {
		if cErr := s.closers[i].Close(); cErr != nil && !errors.Is(cErr, os.ErrClosed) {
			err = errors.Join(err, cErr)
		}
	}
	s.closers = nil
	return err
}

// parseURI takes a plain path for a FIFO, as containerd does.
func parseURI(uri string) (*url.URL, error) {
	u, err := url.Parse(uri)
	if err != nil {
		return nil, fmt.Errorf("parse %q: %w: %w", uri, err, errdefs.ErrInvalidArgument)
	}
	if u.Scheme == "" {
		return &url.URL{Scheme: "fifo", Path: uri}, nil
	}
	return u, nil
}

func fifoPath(uri string) (string, error) {
	u, err := parseURI(uri)
	if err != nil {
		return "", err
	}
	if u.Scheme != "fifo" {
		return "", fmt.Errorf("scheme %q cannot be read from: %w", u.Scheme, errdefs.ErrInvalidArgument)
	}
	return u.Path, nil
}

// openFifo opens without waiting for the other side. For O_WRONLY a reader
// must exist.
func openFifo(path string, mode int) (*os.File, error) {
	fd, err := unix.Open(path, mode|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// openInherited is openFifo for a process's own end: programs expect their
// streams to block.
func openInherited(path string, mode int) (*os.File, error) {
	fd, err := unix.Open(path, mode|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		unix.Close(fd)
		return nil, &os.PathError{Op: "fcntl", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}
