// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/shutdown"
	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/shim/reap"
)

// A Service is the task service and the snapshot service of one sandbox. Its
// methods return plain errors; RegisterTTRPC puts them onto the wire.
type Service struct {
	namespace string
	events    *eventQueue
	shutdown  shutdown.Service
	processes processes
	// removals are on their way behind answers; see outlive.
	removals sync.WaitGroup

	mu      sync.Mutex
	sandbox *sandbox // nil until the first Create
	// unused ends the process while there is no sandbox; see awaitCreate.
	unused *time.Timer
}

// processes are those on the host that the shim has adopted: a sandbox's
// process is a grandchild.
type processes interface {
	// Kill ends a process; one that has ended is no error.
	Kill(pid int) error
	// Wait waits for the end of a process and returns its exit status, 128 + the
	// signal's number if a signal ended it.
	Wait(ctx context.Context, pid int) (int, error)
}

// New returns the service of the sandbox that is about to be created. Events
// go to publisher; sd ends the process when the last container is gone.
func New(ctx context.Context, publisher events.Publisher, sd shutdown.Service) (*Service, error) {
	ns, err := namespaces.NamespaceRequired(ctx)
	if err != nil {
		return nil, err
	}
	s := &Service{namespace: ns, events: newEventQueue(ctx, publisher), shutdown: sd, processes: reap.Watch()}
	sd.RegisterCallback(func(context.Context) error {
		s.events.close()
		return nil
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.awaitCreate()
	return s, nil
}

// lookup finds the sandbox and the container.
func (s *Service) lookup(id string) (*sandbox, *container, error) {
	s.mu.Lock()
	sb := s.sandbox
	s.mu.Unlock()
	if sb == nil {
		return nil, nil, fmt.Errorf("container %s: %w", id, errdefs.ErrNotFound)
	}
	c, err := sb.container(id)
	return sb, c, err
}

// lookupProcess finds a process of a container.
func (s *Service) lookupProcess(id, execID string) (*sandbox, *container, *process, error) {
	sb, c, err := s.lookup(id)
	if err != nil {
		return nil, nil, nil, err
	}
	p, err := c.process(execID)
	return sb, c, p, err
}
