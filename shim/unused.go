// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"time"

	"github.com/containerd/log"
)

// CreateLimit is how long a shim without a sandbox waits for a Create. containerd sends it as
// soon as the shim was started and what the root file system needs is mounted, and Shutdown
// if it has failed: only one that was killed between the two sends neither, and then nobody
// knows of the shim any more. Kubelet gives up what it has asked containerd for after two
// minutes; a shim that ended sooner could fail a Create on a node that is slow.
const CreateLimit = 2 * time.Minute

// awaitCreate has the process end, unless a Create comes in time. The caller holds mu.
func (s *Service) awaitCreate() {
	if s.unused == nil {
		s.unused = time.AfterFunc(CreateLimit, s.leaveUnused)
		return
	}
	s.unused.Reset(CreateLimit)
}

// created says that a Create has come: from here on the process has no timer. The caller
// holds mu.
func (s *Service) created() {
	if s.unused != nil {
		s.unused.Stop()
	}
}

func (s *Service) leaveUnused() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sandbox != nil {
		return // a Create came with the last second
	}
	log.L.Warn("end the shim: containerd has started it, and has not created a container in " + CreateLimit.String())
	s.shutdown.Shutdown()
}
