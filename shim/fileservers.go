// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"
)

// fileServers are the processes that serve the sandbox's containers their files,
// by container, as descriptors. gVisor kills a container that has lost its own:
// also while it is frozen, and then the signal is saved with it, so that it
// would end as soon as it comes back.
type fileServers map[string]int

// ended is in the place of the descriptor of one that has ended.
const ended = -1

// fileServers opens those that live. close must be called. One that has ended
// already is as bad as one that ends meanwhile, but not for a sandbox that was
// restored: gVisor lets that live without.
func (s *sandbox) fileServers(ctx context.Context) fileServers {
	s.mu.Lock()
	restored := s.paused != nil || s.origin != nil
	s.mu.Unlock()
	servers := fileServers{}
	for _, c := range s.live() {
		pid, err := s.runsc.FileServer(s.id, c.id)
		if err != nil {
			log.G(ctx).WithError(err).Debug("save without an eye on who serves files")
			continue
		}
		if pid == 0 {
			continue
		}
		switch fd, err := unix.PidfdOpen(pid, 0); {
		case err == nil:
			servers[c.id] = fd
		case err == unix.ESRCH && !restored:
			servers[c.id] = ended
		}
	}
	return servers
}

// check reports which of them has ended meanwhile.
func (f fileServers) check() error {
	for container, fd := range f {
		if fd == ended || hasEnded(fd) {
			return fmt.Errorf("the process that serves container %s its files has ended, and gVisor ends the container: %w", container, errdefs.ErrFailedPrecondition)
		}
	}
	return nil
}

// hasEnded reports whether the process of a descriptor has, be it reaped or not.
func hasEnded(pidfd int) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 0)
	return err == nil && n > 0
}

func (f fileServers) close() {
	for _, fd := range f {
		if fd != ended {
			_ = unix.Close(fd)
		}
	}
}
