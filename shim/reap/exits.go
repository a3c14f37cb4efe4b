// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package reap

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/containerd/containerd/v2/pkg/sys/reaper"
	"golang.org/x/sys/unix"
)

// kept is how many exits are remembered of processes that nobody has asked for yet.
const kept = 256

// Exits remembers the exit statuses of adopted processes: a sandbox's process
// is a grandchild, and may have ended before its pid is known here.
type Exits struct {
	mu       sync.Mutex
	statuses map[int]int
	order    []int
	changed  chan struct{} // closed, and made anew, at every exit
}

// Watch starts to remember, for as long as the process lives.
func Watch() *Exits {
	e := &Exits{statuses: map[int]int{}, changed: make(chan struct{})}
	exits := reaper.Default.Subscribe()
	go func() {
		for exit := range exits {
			e.add(exit.Pid, exit.Status)
		}
	}()
	return e
}

func (e *Exits) add(pid, status int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ok := e.statuses[pid]; !ok {
		e.order = append(e.order, pid)
	}
	e.statuses[pid] = status
	if len(e.order) > kept {
		delete(e.statuses, e.order[0])
		e.order = e.order[1:]
	}
	close(e.changed)
	e.changed = make(chan struct{})
}

// Kill ends a process with SIGKILL; one that has ended is no error.
func (e *Exits) Kill(pid int) error {
	if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill process %d: %w", pid, err)
	}
	return nil
}

// Wait waits for the end of an adopted process and returns its exit status,
// 128 + the signal's number if a signal ended it.
func (e *Exits) Wait(ctx context.Context, pid int) (int, error) {
	for {
		e.mu.Lock()
		status, ok := e.statuses[pid]
		changed := e.changed
		e.mu.Unlock()
		if ok {
			return status, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}
