// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package portforward

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/ateom/ateom/shim/allports"
)

const (
	// maxConns bounds the connections at a time; more wait in the kernel's queue.
	maxConns = 128
	// dialLimit bounds a connection's way into the sandbox.
	dialLimit = 5 * time.Second
)

// A Dialer connects to a port on the loopback address inside the sandbox.
type Dialer func(ctx context.Context, port uint16) (net.Conn, error)

// A Forwarder passes connections on.
type Forwarder struct {
	ports  *allports.Listener
	dial   Dialer
	cancel context.CancelFunc
	served sync.WaitGroup
}

// Open begins to pass on what is connected to in the network namespace at path.
// Close must be called.
func Open(netns string, dial Dialer) (*Forwarder, error) {
	ports, err := allports.Listen(netns, allports.Loopback)
	if err != nil {
		return nil, fmt.Errorf("forward ports: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	f := &Forwarder{ports: ports, dial: dial, cancel: cancel}
	f.served.Go(func() { f.serve(ctx) })
	return f, nil
}

// Close ends every connection. It returns when all is done.
func (f *Forwarder) Close() {
	f.cancel()
	_ = f.ports.Close() // it is gone either way
	f.served.Wait()
}

func (f *Forwarder) serve(ctx context.Context) {
	slots := make(chan struct{}, maxConns)
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		conn, err := f.ports.Accept()
		if err != nil {
			return
		}
		f.served.Go(func() {
			defer func() { <-slots }()
			f.pass(ctx, conn)
		})
	}
}

// pass passes one connection on. One to a port where nobody listens is closed.
func (f *Forwarder) pass(ctx context.Context, outer net.Conn) {
	defer outer.Close()
	dialCtx, cancel := context.WithTimeout(ctx, dialLimit)
	inner, err := f.dial(dialCtx, uint16(outer.LocalAddr().(*net.TCPAddr).Port))
	cancel()
	if err != nil {
		return
	}
	defer inner.Close()
	stop := context.AfterFunc(ctx, func() {
		outer.Close()
		inner.Close()
	})
	defer stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		flow(inner, outer)
	}()
	flow(outer, inner)
	<-done
}

// flow copies until the end of from, and passes that on. A way that is broken
// ends the other one, too.
func flow(to, from net.Conn) {
	if _, err := io.Copy(to, from); err != nil {
		to.Close()
		from.Close()
		return
	}
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // the other end may have gone
	}
}
