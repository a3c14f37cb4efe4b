// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"fmt"
	"slices"

	"github.com/containerd/errdefs"
)

// A verb is what a client asks of a sandbox or of a process in it: the methods
// of the task service and of the snapshot service.
type verb string

const (
	verbState      verb = "State"
	verbPids       verb = "Pids"
	verbConnect    verb = "Connect"
	verbStats      verb = "Stats"
	verbStatus     verb = "Status"
	verbList       verb = "List"
	verbWait       verb = "Wait"
	verbResizePty  verb = "ResizePty"
	verbCloseIO    verb = "CloseIO"
	verbShutdown   verb = "Shutdown"
	verbCreate     verb = "Create"
	verbStart      verb = "Start"
	verbExec       verb = "Exec"
	verbStartExec  verb = "Start of an exec"
	verbUpdate     verb = "Update"
	verbPause      verb = "Pause"
	verbResume     verb = "Resume"
	verbCommit     verb = "Commit"
	verbCheckpoint verb = "Checkpoint"
	verbSignal     verb = "Kill"
	verbKill       verb = "Kill with SIGKILL"
	verbDelete     verb = "Delete"
)

// An answer is what becomes of a verb in a state.
type answer string

const (
	// atOnce: answered without waiting for anything.
	atOnce answer = "at once"
	// acts: done in the sandbox's turn; nothing else that changes it is under way.
	acts answer = "acts"
	// waits: for the verb under way; the state that that leaves decides.
	waits answer = "waits"
	// joins: the equal request under way; both have one outcome.
	joins answer = "joins"
	// thaws: ends a pause that was answered before its save; joins the line else.
	thaws answer = "thaws or waits"
	// keeps: noted now, done when the sandbox runs.
	keeps answer = "keeps"
	// already: nothing is left to do; answered like the request that did it.
	already answer = "already"
	// resumes: refused, unless the container's policy is to resume first.
	resumes answer = "refused or resumes"
	// wins: abandons what is under way, and ends within killLimit.
	wins answer = "wins"
	// refused: fails with a RefusedError and changes nothing.
	refused answer = "refused"
	// gone: not found.
	gone answer = "not found"
)

// states are the columns of rules.
var states = []State{Created, Running, Pausing, Paused, Resuming, Committing, Stopped}

// rules is what every verb does in every state, in the order of states. For
// Kill and Delete the state is the process's, see column.
var rules = []struct {
	verb    verb
	answers [7]answer
}{
	//                created  running  pausing  paused   resuming committing stopped
	{verbState, [7]answer{atOnce, atOnce, atOnce, atOnce, atOnce, atOnce, atOnce}},
	{verbPids, [7]answer{atOnce, atOnce, atOnce, atOnce, atOnce, atOnce, atOnce}},
	{verbConnect, [7]answer{atOnce, atOnce, atOnce, atOnce, atOnce, atOnce, atOnce}},
	{verbStats, [7]answer{atOnce, atOnce, atOnce, atOnce, atOnce, atOnce, atOnce}},
	{verbStatus, [7]answer{atOnce, atOnce, atOnce, atOnce, atOnce, atOnce, atOnce}},
	{verbList, [7]answer{atOnce, atOnce, atOnce, atOnce, atOnce, atOnce, atOnce}},
	{verbWait, [7]answer{atOnce, atOnce, atOnce, atOnce, atOnce, atOnce, atOnce}},
	{verbResizePty, [7]answer{atOnce, atOnce, atOnce, atOnce, atOnce, atOnce, atOnce}},
	{verbCloseIO, [7]answer{atOnce, atOnce, atOnce, atOnce, atOnce, atOnce, atOnce}},
	{verbShutdown, [7]answer{atOnce, atOnce, atOnce, atOnce, atOnce, atOnce, atOnce}},
	{verbCreate, [7]answer{acts, acts, waits, refused, waits, waits, refused}},
	{verbStart, [7]answer{acts, acts, waits, refused, waits, waits, refused}},
	{verbExec, [7]answer{atOnce, atOnce, atOnce, atOnce, atOnce, atOnce, refused}},
	{verbStartExec, [7]answer{refused, acts, waits, resumes, waits, waits, refused}},
	{verbUpdate, [7]answer{acts, acts, waits, keeps, waits, waits, refused}},
	{verbPause, [7]answer{refused, acts, joins, already, waits, waits, refused}},
	{verbResume, [7]answer{refused, refused, thaws, acts, joins, waits, refused}},
	{verbCommit, [7]answer{refused, acts, waits, acts, waits, waits, refused}},
	{verbCheckpoint, [7]answer{refused, acts, waits, acts, waits, waits, refused}},
	{verbSignal, [7]answer{acts, acts, keeps, keeps, keeps, keeps, gone}},
	{verbKill, [7]answer{wins, acts, wins, wins, wins, wins, gone}},
	{verbDelete, [7]answer{wins, refused, refused, refused, refused, refused, wins}},
}

// rule returns what v does in a state.
func rule(v verb, in State) answer {
	for _, r := range rules {
		if r.verb == v {
			return r.answers[slices.Index(states, in)]
		}
	}
	panic("no rule for " + v)
}

// column is the state by which a verb on one process is decided: a process that
// has ended is stopped, and one that was not started is created, whatever the
// sandbox does.
func (s *sandbox) column(p *process) State {
	switch {
	case p.hasExited():
		return Stopped
	case !p.isStarted():
		return Created
	default:
		return s.machine.state()
	}
}

// check refuses the verb if the present state does.
func (s *sandbox) check(v verb) error {
	return refuse(v, s.id, s.machine.state())
}

// refuse is a RefusedError if v is refused in the state.
func refuse(v verb, id string, in State) error {
	if a := rule(v, in); a != refused && a != resumes {
		return nil
	}
	return &RefusedError{Verb: string(v), ID: id, State: in}
}

// A RefusedError is a verb that the state of a sandbox, or of a process in it,
// forbids. Nothing was changed.
type RefusedError struct {
	Verb string
	// ID is the sandbox's or the container's.
	ID    string
	State State
}

func (e *RefusedError) Error() string {
	why := fmt.Sprintf("it is %s", e.State)
	switch {
	case e.Verb == string(verbDelete):
		why += "; kill it first"
	case e.State == Created:
		why += ", there is no running container"
	case e.State == Running:
		why += ", not paused"
	case e.State == Paused:
		why += "; resume it first"
	case e.State == Stopped:
		why += ", there is no running container"
	}
	return fmt.Sprintf("%s %s is refused: %s", e.Verb, e.ID, why)
}

// Unwrap makes errors.Is(err, errdefs.ErrFailedPrecondition) true.
func (e *RefusedError) Unwrap() error { return errdefs.ErrFailedPrecondition }
