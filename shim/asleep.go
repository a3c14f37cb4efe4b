// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"

	"github.com/containerd/log"

	"github.com/ateom/ateom/shim/network"
	"github.com/ateom/ateom/shim/standin"
)

// standIn answers kubelet's probes for a paused pod, at the addresses that the
// kernel has meanwhile. A pod whose probes fail is better off than one that
// cannot be paused, so that nothing here fails a pause. Outside of Kubernetes
// nobody probes; where connections are kept, nobody may answer.
func (s *sandbox) standIn(ctx context.Context) {
	if !s.cri || s.network == nil || s.connections == network.Keep {
		return
	}
	in, err := standin.Open(s.netns)
	if err != nil {
		log.G(ctx).WithError(err).Warn("answer probes for the paused pod")
	}
	s.mu.Lock()
	s.standin = in
	s.mu.Unlock()
}

// standDown ends the stand-in, if there is one.
func (s *sandbox) standDown() {
	s.mu.Lock()
	in := s.standin
	s.standin = nil
	s.mu.Unlock()
	if in != nil {
		in.Close()
	}
}
