// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"fmt"
	"sync"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/ateom/ateom/runsc"
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
	// gone says that the container has ended and that the sandbox holds it no more.
	gone bool
	spec *specs.Spec
	decl *declaration
	init *process

	mu    sync.Mutex
	execs map[string]*execution
	// kept are signals that arrived when the sandbox did not run.
	kept []*taskapi.KillRequest
	// noted is what Stats answers while the sandbox cannot be asked.
	noted runsc.Stats
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

// keepSignal keeps a signal until the sandbox runs.
func (c *container) keepSignal(r *taskapi.KillRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept = append(c.kept, r)
}

func (c *container) hasKept() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.kept) > 0
}

// takeSignals returns what keepSignal kept and forgets it.
func (c *container) takeSignals() []*taskapi.KillRequest {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := c.kept
	c.kept = nil
	return kept
}

// noteStats keeps the counters for the time when they cannot be asked for.
func (c *container) noteStats(s *runsc.Stats) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noted = *s
}

// statsNoted returns what was kept last.
func (c *container) statsNoted() runsc.Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.noted
}
