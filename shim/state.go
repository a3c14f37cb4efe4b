// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/containerd/errdefs"
)

// A State is where a sandbox is in its life.
type State string

const (
	// Created: runsc has containers, none was started.
	Created State = "created"
	// Running: the sandbox's kernel runs.
	Running State = "running"
	// Pausing: frozen, being saved; it runs on if anything fails.
	Pausing State = "pausing"
	// Paused: saved and verified on disk; there is no process and no memory.
	Paused State = "paused"
	// Resuming: being brought back, not ready yet; paused again if anything fails.
	Resuming State = "resuming"
	// Committing: frozen, or paused, while what a snapshot needs is captured.
	Committing State = "committing"
	// Stopped: the root container has ended.
	Stopped State = "stopped"
)

// transitions is the table of all legal moves.
var transitions = map[State][]State{
	Created:    {Running, Stopped},
	Running:    {Pausing, Committing, Stopped},
	Pausing:    {Running, Paused, Stopped},
	Paused:     {Resuming, Committing, Stopped},
	Resuming:   {Running, Paused, Stopped},
	Committing: {Running, Paused, Stopped},
	Stopped:    nil,
}

// settled says that no verb is under way in the state: it lasts until somebody
// asks for another one.
func (s State) settled() bool {
	switch s {
	case Created, Running, Paused, Stopped:
		return true
	default:
		return false
	}
}

// A machine holds the state of one sandbox. Reading never waits.
type machine struct {
	current atomic.Value
	// moved is called after every change, by whoever made it.
	moved func()
}

func newMachine(moved func()) *machine {
	m := &machine{moved: moved}
	m.current.Store(Created)
	return m
}

// state returns the present state.
func (m *machine) state() State { return m.current.Load().(State) }

// move changes the state from one of froms to next; anything else is
// errdefs.ErrFailedPrecondition and changes nothing. A stopped sandbox stays
// stopped, whoever else is under way.
func (m *machine) move(next State, froms ...State) error {
	for {
		now := m.state()
		if !slices.Contains(froms, now) || !slices.Contains(transitions[now], next) {
			return &StateError{State: now, Next: next}
		}
		if m.current.CompareAndSwap(now, next) {
			m.moved()
			return nil
		}
	}
}

// stop moves to Stopped from anywhere.
func (m *machine) stop() {
	m.current.Store(Stopped)
	m.moved()
}

// A StateError is a verb that the sandbox's state forbids.
type StateError struct{ State, Next State }

func (e *StateError) Error() string {
	return fmt.Sprintf("sandbox is %s, it cannot become %s", e.State, e.Next)
}

// Unwrap makes errors.Is(err, errdefs.ErrFailedPrecondition) true.
func (e *StateError) Unwrap() error { return errdefs.ErrFailedPrecondition }
