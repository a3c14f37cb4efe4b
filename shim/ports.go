// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"net"
	"os"

	"github.com/containerd/log"

	"github.com/ateom/ateom/shim/network"
	"github.com/ateom/ateom/shim/portforward"
	"github.com/ateom/ateom/shim/standin"
)

// In a pod's network namespace somebody of the shim's listens in place of the
// programs in the sandbox: while it runs, for kubectl port-forward; while it
// sleeps, for kubelet's probes. Neither is worth failing a verb for. Outside of
// Kubernetes nobody connects there.

// forwardPorts passes connections to the namespace's loopback on to the sandbox.
func (s *sandbox) forwardPorts(ctx context.Context) {
	s.standDown()
	if !s.cri || s.network == nil {
		return
	}
	f, err := portforward.Open(s.netns, func(ctx context.Context, port uint16) (net.Conn, error) {
		return connection(s.control.Dial(ctx, s.id, port))
	})
	if err != nil {
		log.G(ctx).WithError(err).Warn("forward ports to the pod")
		return
	}
	s.setListener(f)
}

// standIn answers kubelet's probes for a paused pod, at the addresses that the
// kernel has meanwhile; where connections are kept, nobody may answer.
func (s *sandbox) standIn(ctx context.Context) {
	s.standDown()
	if !s.cri || s.network == nil || s.connections == network.Keep {
		return
	}
	in, err := standin.Open(s.netns, answering)
	if err != nil {
		log.G(ctx).WithError(err).Warn("answer probes for the paused pod")
		return
	}
	s.setListener(in)
}

func (s *sandbox) setListener(l interface{ Close() }) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listener = l
}

// standDown ends whoever listens.
func (s *sandbox) standDown() {
	s.mu.Lock()
	l := s.listener
	s.listener = nil
	s.mu.Unlock()
	if l != nil {
		l.Close()
	}
}

// connection makes a connection of a socket that was dialled, or passes the error on.
func connection(f *os.File, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	defer f.Close() // FileConn holds a copy
	return net.FileConn(f)
}
