// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package runsc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/urpc"
)

// A Dialer connects to TCP ports inside a sandbox, again and again: attempts that
// follow each other share a connection to the control socket, which costs the sandbox
// more to accept than the attempt itself. Its methods may be called from several
// goroutines; those that dial at the same time have a connection each.
type Dialer struct {
	control   *Control
	container string

	mu   sync.Mutex
	idle []*line
	shut bool
}

// portForwardArgs is boot.PortForwardOpts.
type portForwardArgs struct {
	urpc.FilePayload
	ContainerID string
	Port        uint16
}

// Dialer returns a dialer of a container's ports. The caller closes it.
func (c *Control) Dialer(container string) *Dialer { return &Dialer{control: c, container: container} }

// Dial connects to a TCP port on the loopback address inside the sandbox's own
// network stack, and returns a socket on which the bytes flow. The caller
// closes it.
func (d *Dialer) Dial(ctx context.Context, port uint16) (*os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("create socket pair: %w", err)
	}
	near, far := os.NewFile(uintptr(fds[0]), "dial"), os.NewFile(uintptr(fds[1]), "dial-sandbox")
	defer far.Close()
	args := &portForwardArgs{ContainerID: d.container, Port: port}
	args.Files = []*os.File{far}
	ctx, cancel := Within(ctx, callLimit)
	defer cancel()
	l, err := d.take(ctx)
	if err == nil {
		err = l.call(ctx, methodPortForward, args, nil)
		d.put(ctx, l, err)
	}
	if err != nil {
		near.Close()
		return nil, err
	}
	return near, nil
}

// Close ends the connections that no attempt is using.
func (d *Dialer) Close() {
	d.mu.Lock()
	idle := d.idle
	d.idle, d.shut = nil, true
	d.mu.Unlock()
	for _, l := range idle {
		l.close()
	}
}

// take returns a connection that nobody uses.
func (d *Dialer) take(ctx context.Context) (*line, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := len(d.idle); n > 0 {
		l := d.idle[n-1]
		d.idle = d.idle[:n-1]
		return l, nil
	}
	return d.control.open(ctx, methodPortForward)
}

// put gives a connection back after a call. One on which the last word was not the
// sandbox's, or may not have been, is of no use any more.
func (d *Dialer) put(ctx context.Context, l *line, err error) {
	var remote urpc.RemoteError
	d.mu.Lock()
	keep := !d.shut && ctx.Err() == nil && (err == nil || errors.As(err, &remote))
	if keep {
		d.idle = append(d.idle, l)
	}
	d.mu.Unlock()
	if !keep {
		l.close()
	}
}
