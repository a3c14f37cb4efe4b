// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"fmt"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// A container of the sandbox.
type container struct {
	id     string
	name   string // what probes and volumes call it
	bundle string
	rootfs string
	// mounted says that rootfs is a mount of the shim's own making.
	mounted bool
	// skipped says that the container has ended before the snapshot was taken
	// that its sandbox starts from, and is not run again.
	skipped bool
	spec    *specs.Spec
	decl    *declaration
	init    *process

	mu    sync.Mutex
	execs map[string]*execution
	// pending are signals that arrived while the sandbox was paused.
	pending []uint32
}

// isRoot says whether the sandbox lives and dies with the container.
func (c *container) isRoot(s *sandbox) bool { return c.id == s.id }

// process returns the container's first process, or the exec of that id.
func (c *container) process(execID string) (*process, error) {
	if execID == "" {
		return c.init, nil
	}
	e, err := c.exec(execID)
	if err != nil {
		return nil, err
	}
	return e.process, nil
}

func (c *container) exec(execID string) (*execution, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.execs[execID]
	if !ok {
		return nil, fmt.Errorf("container %s has no process %s: %w", c.id, execID, errdefs.ErrNotFound)
	}
	return e, nil
}

// addExec adds an exec; its id must be new.
func (c *container) addExec(e *execution) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.execs[e.execID]; ok {
		return fmt.Errorf("container %s has a process %s already: %w", c.id, e.execID, errdefs.ErrAlreadyExists)
	}
	if c.execs == nil {
		c.execs = map[string]*execution{}
	}
	c.execs[e.execID] = e
	return nil
}

func (c *container) removeExec(execID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.execs, execID)
}

// liveExecs returns the exec'd processes that run.
func (c *container) liveExecs() []*execution {
	c.mu.Lock()
	defer c.mu.Unlock()
	var live []*execution
	for _, e := range c.execs {
		if e.isStarted() && !e.hasExited() {
			live = append(live, e)
		}
	}
	return live
}

// queueSignal keeps a signal for the resume.
func (c *container) queueSignal(signal uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending = append(c.pending, signal)
}

// takeSignals returns what queueSignal kept and forgets it.
func (c *container) takeSignals() []uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	signals := c.pending
	c.pending = nil
	return signals
}
