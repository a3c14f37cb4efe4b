// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

// allStates are the rows and columns of the table.
var allStates = []State{Created, Running, Pausing, Paused, Resuming, Committing, Stopped}

// machineIn returns a machine in that state, however illegal the way there.
func machineIn(s State) *machine {
	m := newMachine(func() {})
	m.current.Store(s)
	return m
}

// legal is the table as the design draws it, written once more by hand.
const legal = `
created     running stopped
running     pausing committing stopped
pausing     running paused stopped
paused      resuming committing stopped
resuming    running paused stopped
committing  running paused stopped
stopped
`

func TestEveryMoveIsTheTables(t *testing.T) {
	want := map[State][]State{}
	for line := range strings.Lines(strings.TrimSpace(legal)) {
		words := strings.Fields(line)
		for _, w := range words[1:] {
			want[State(words[0])] = append(want[State(words[0])], State(w))
		}
	}
	for _, from := range allStates {
		for _, to := range allStates {
			m := machineIn(from)
			err := m.move(to, allStates...)
			if ok := slices.Contains(want[from], to); ok != (err == nil) {
				t.Errorf("%s → %s: %v, want legal %v", from, to, err, ok)
			}
			if err == nil && m.state() != to {
				t.Errorf("%s → %s: the state is %s", from, to, m.state())
			}
			if err == nil {
				continue
			}
			if m.state() != from {
				t.Errorf("%s → %s was refused, and the state is %s", from, to, m.state())
			}
			var refused *StateError
			if !errors.As(err, &refused) || *refused != (StateError{from, to}) || !errors.Is(err, errdefs.ErrFailedPrecondition) {
				t.Errorf("%s → %s: %#v, want a StateError of the two", from, to, err)
			}
		}
	}
}

func TestMoveWantsTheStateThatTheCallerBelievesIn(t *testing.T) {
	m := machineIn(Running)
	if err := m.move(Committing, Paused); err == nil || m.state() != Running {
		t.Errorf("move from paused of a running sandbox: %v, it is %s", err, m.state())
	}
	if err := m.move(Committing, Paused, Running); err != nil || m.state() != Committing {
		t.Errorf("move from running: %v, it is %s", err, m.state())
	}
}

func TestStopWinsInEveryState(t *testing.T) {
	for _, from := range allStates {
		m := machineIn(from)
		m.stop()
		if m.state() != Stopped {
			t.Errorf("stopped from %s: it is %s", from, m.state())
		}
		// Whoever was under way cannot bring it back.
		for _, to := range allStates {
			if err := m.move(to, allStates...); err == nil {
				t.Errorf("a stopped sandbox became %s", to)
			}
		}
	}
}

func TestNewSandboxIsCreated(t *testing.T) {
	if s := newMachine(func() {}).state(); s != Created {
		t.Errorf("a new machine is %s", s)
	}
}

// Of those who want the same move, one makes it.
func TestRacingMovesHaveOneWinner(t *testing.T) {
	for range 100 {
		m := machineIn(Running)
		var all sync.WaitGroup
		var won [8]bool
		for i := range won {
			all.Go(func() { won[i] = m.move(Pausing, Running) == nil })
		}
		all.Wait()
		winners := len(slices.DeleteFunc(won[:], func(w bool) bool { return !w }))
		if diff := cmp.Diff(1, winners); diff != "" {
			t.Fatalf("winners (-want +got):\n%s", diff)
		}
	}
}
