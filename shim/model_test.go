// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"fmt"

	"github.com/anishathalye/porcupine"
	tasktypes "github.com/containerd/containerd/api/types/task"
)

// A history is what several clients did to one sandbox at the same time, and
// what they were answered. The model below is a sandbox whose verbs happen at
// once, one after the other: porcupine looks for an order in which that gives
// the same answers. A byte that a pause loses, a snapshot of no moment, a signal
// that nobody gets, two verbs that interleave leave none.

// An invoked verb is an input of the model.
type invoked struct {
	verb verb
	// add is what is added to the number in the sandbox's memory, by the program
	// (verbWrite) or by a process that is exec'd for it (verbStartExec).
	add int
	// isLast says that nothing is under way any more, and nothing is kept.
	isLast bool
}

// verbWrite is the program's own doing: it adds to a number in its memory, if
// it runs, and reads it.
const verbWrite verb = "write"

// A said is an output of the model.
type said struct {
	class string // "", "refused", "not found", "failed"
	// memory was read, or is in the snapshot that was committed.
	memory memory
	// snapshot is what a Pause answered.
	snapshot string
	// state is the word of State.
	state tasktypes.Status
	// joined says that the call overlaps with an equal one that went well: they
	// may have been one operation.
	joined bool
	// waking says that the call, a State, overlaps with a Resume that went well: the
	// sandbox may be called paused until that is over, and its program may run.
	waking bool
	// dying says that the call, a signal, overlaps with a Kill that went well: the
	// sandbox's process may be dead, and nobody have been told so.
	dying bool
}

// deleted is the model's word for a sandbox that is no more.
const deleted State = "deleted"

// A world is a state of the model.
type world struct {
	state    State // Running, Paused, Stopped, deleted
	number   int
	snapshot string // that it is paused in
	// sent counts the signals that were answered well, caught those that the
	// program was last seen to have got: each comes once, at the latest when the
	// sandbox runs and nothing is under way.
	sent, caught int
}

// sees says whether the memory may be what is read in the world.
func (w *world) sees(m memory) bool {
	ok := m.number == w.number && w.caught <= m.caught && m.caught <= w.sent
	w.caught = m.caught
	return ok
}

// step says whether the model in state w may answer in with out, and what it is
// then. What failed because a fault was injected, or the sandbox was killed
// under it, has changed nothing.
func step(w world, in invoked, out said) (bool, world) {
	if out.class == "failed" {
		// A frozen program writes nothing: a verb may be about to change the state.
		return !in.isLast && in.verb != verbState && in.verb != verbKill && in.verb != verbDelete, w
	}
	if w.state == deleted {
		return out.class == "not found", w
	}
	refusedIn := func(states ...State) bool {
		for _, s := range states {
			if w.state == s {
				return out.class == "refused"
			}
		}
		return false
	}
	ok := out.class == ""
	switch in.verb {
	case verbWrite:
		w.number += in.add
		return w.state == Running && ok && w.sees(out.memory) && (!in.isLast || w.caught == w.sent), w
	case verbStartExec:
		if w.state != Running || !ok {
			return refusedIn(Paused, Stopped), w
		}
		w.number += in.add
		return w.sees(out.memory), w
	case verbPause:
		switch {
		case w.state == Running && ok:
			w.state, w.snapshot = Paused, out.snapshot
			return true, w
		case w.state == Paused && ok:
			return out.snapshot == w.snapshot, w
		}
		return refusedIn(Stopped), w
	case verbResume:
		if w.state == Paused && ok {
			w.state, w.snapshot = Running, ""
			return true, w
		}
		if w.state == Running && ok {
			return out.joined, w
		}
		return refusedIn(Running, Stopped), w
	case verbCommit:
		if w.state != Stopped && ok {
			return w.sees(out.memory), w
		}
		return refusedIn(Stopped), w
	case verbSignal:
		if w.state == Stopped || out.dying && !ok {
			return out.class == "not found", w
		}
		w.sent++
		return ok, w
	case verbKill:
		if w.state == Stopped {
			return out.class == "not found", w
		}
		return ok, world{state: Stopped}
	case verbDelete:
		if w.state == Stopped && ok {
			return true, world{state: deleted}
		}
		return refusedIn(Running, Paused), w
	case verbState:
		switch {
		case !ok:
			return false, w
		case out.state == tasktypes.Status_RUNNING || out.state == tasktypes.Status_PAUSING:
			return w.state == Running, w
		case out.state == tasktypes.Status_PAUSED:
			return w.state == Paused || w.state == Running && out.waking, w
		default:
			return w.state == Stopped, w
		}
	}
	return false, w
}

// modelOf is the model of histories that are made in that weather.
func modelOf(w weather) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return world{state: Running, number: 1} },
		Step: func(state, input, output any) (bool, any) {
			in, out := input.(invoked), output.(said)
			if out.class == "failed" && in.verb != verbWrite && !w.faults && !w.kills {
				return false, state // of what?
			}
			if w.pauseReturn == returnFrozen {
				out.snapshot = "" // not known when a Pause is answered
			}
			return step(state.(world), in, out)
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v → %+v", input, output) },
	}
}
