// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package allports

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/ateom/ateom/shim/network"
)

// A Scope says to which addresses the connections are taken.
type Scope int

const (
	// Everywhere is every address that the kernel has in the namespace.
	Everywhere Scope = iota
	// Loopback is 127.0.0.0/8 and ::1.
	Loopback
)

// A Listener takes connections; the local address of each tells to which port
// it was made.
type Listener struct {
	net.Listener
	redirection *redirection
}

// Close takes no connection any more. Those that were taken live on.
func (l *Listener) Close() error {
	return errors.Join(l.redirection.Close(), l.Listener.Close())
}

// Listen listens in the network namespace at path. Close must be called.
func Listen(netns string, where Scope) (*Listener, error) {
	var l Listener
	if err := network.In(netns, func(ns *os.File) error { return l.listen(ns, where) }); err != nil {
		return nil, fmt.Errorf("listen on all ports: %w", err)
	}
	return &l, nil
}

// listen listens in the namespace ns, which this thread is in.
func (l *Listener) listen(ns *os.File, where Scope) (err error) {
	var config net.ListenConfig
	config.SetMultipathTCP(false) // no BPF map takes such a socket
	if l.Listener, err = config.Listen(context.Background(), "tcp", ":0"); err != nil {
		return err
	}
	if l.redirection, err = redirect(ns, l.Listener.(*net.TCPListener), where); err != nil {
		return errors.Join(err, l.Listener.Close())
	}
	return nil
}
