// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/log"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/shim/rundir"
	"github.com/ateom/ateom/shim/stdio"
)

// consoleLimit bounds the wait for a terminal that runsc has already made.
const consoleLimit = 10 * time.Second

// A consoleSocket receives the master of a container's terminal from runsc.
type consoleSocket struct {
	path     string
	listener *net.UnixListener
}

// newConsoleSocket listens below dir, whose path must leave room in a socket's address.
func newConsoleSocket(dir string) (*consoleSocket, error) {
	tmp, err := os.MkdirTemp(dir, rundir.TTY)
	if err != nil {
		return nil, fmt.Errorf("make console socket: %w", err)
	}
	path := filepath.Join(tmp, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		os.RemoveAll(tmp)
		return nil, fmt.Errorf("make console socket: %w", err)
	}
	return &consoleSocket{path: path, listener: l}, nil
}

// finish bounds the wait for a terminal once runsc has ended; if it has failed, none comes.
func (c *consoleSocket) finish(ctx context.Context, failed error) {
	deadline := time.Now()
	if failed == nil {
		deadline = deadline.Add(consoleLimit)
	}
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	_ = c.listener.SetDeadline(deadline) // fails only if it is closed
}

// receive waits for the terminal, as long as finish allows; the caller closes it.
func (c *consoleSocket) receive() (*os.File, error) {
	conn, err := c.listener.AcceptUnix()
	if err != nil {
		return nil, fmt.Errorf("wait for the terminal: %w", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(consoleLimit)); err != nil {
		return nil, err
	}
	name := make([]byte, 4096)
	oob := make([]byte, unix.CmsgSpace(4))
	_, oobn, _, _, err := conn.ReadMsgUnix(name, oob)
	if err != nil {
		return nil, fmt.Errorf("receive the terminal: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(messages) != 1 {
		return nil, fmt.Errorf("receive the terminal: got %d control messages, want 1 (%v)", len(messages), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, fmt.Errorf("receive the terminal: got %d descriptors, want 1 (%v)", len(fds), err)
	}
	unix.CloseOnExec(fds[0])
	if err := unix.SetNonblock(fds[0], true); err != nil {
		unix.Close(fds[0])
		return nil, fmt.Errorf("receive the terminal: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "terminal"), nil
}

func (c *consoleSocket) close() {
	c.listener.Close()
	os.RemoveAll(filepath.Dir(c.path))
}

// holdInput keeps what is typed into the sandbox's terminals back, until
// releaseInput, which it returns, is called.
func (s *sandbox) holdInput(ctx context.Context) (release func()) {
	for _, t := range s.terminals() {
		t.HoldInput()
	}
	return func() { s.releaseInput(ctx) }
}

// releaseInput hands on what was held back.
func (s *sandbox) releaseInput(ctx context.Context) {
	for _, t := range s.terminals() {
		if err := t.ReleaseInput(); err != nil {
			log.G(ctx).WithError(err).Warn("bytes that were typed before a pause are lost")
		}
	}
}

// recallInput takes back what the frozen sandbox, which is about to go, has not
// read of its terminals.
func (s *sandbox) recallInput(ctx context.Context) {
	for _, t := range s.terminals() {
		if err := t.Recall(); err != nil {
			log.G(ctx).WithError(err).Warn("bytes that were typed before a pause may be lost")
		}
	}
}

// terminals are those of the containers that run.
func (s *sandbox) terminals() (all []*stdio.Terminal) {
	for _, c := range s.live() {
		if t := c.init.openStreams().Terminal; t != nil {
			all = append(all, t)
		}
	}
	return all
}
