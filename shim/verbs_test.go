// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	eventstypes "github.com/containerd/containerd/api/events"
	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
)

const sigterm, sigkill = 15, 9

// numbers are those of signals that were kept.
func numbers(kept []*taskapi.KillRequest) (all []uint32) {
	for _, r := range kept {
		all = append(all, r.GetSignal())
	}
	return all
}

// exits lists who has ended, in the order of the events.
func (b *bench) exits() []string {
	b.flush()
	var ids []string
	for _, e := range b.recorder.events {
		if exit, ok := e.(*eventstypes.TaskExit); ok {
			ids = append(ids, exit.ID)
		}
	}
	return ids
}

// Whatever is under way, who asks is answered.
func TestQueriesDoNotWaitForAVerb(t *testing.T) {
	for _, state := range allStates[1:] {
		b := newBench(t)
		b.in(t, state)
		_, end, err := b.sb.take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if r, err := b.State(t.Context(), &taskapi.StateRequest{ID: "box"}); err != nil || r.GetPid() == 0 || r.GetStatus() == tasktypes.Status_UNKNOWN {
			t.Errorf("%s: State = %v, %v", state, r, err)
		}
		// containerd takes a task without a process for dead.
		if r, err := b.Pids(t.Context(), &taskapi.PidsRequest{ID: "box"}); err != nil || len(r.GetProcesses()) == 0 || r.GetProcesses()[0].GetPid() == 0 {
			t.Errorf("%s: Pids = %v, %v", state, r, err)
		}
		if r, err := b.Connect(t.Context(), &taskapi.ConnectRequest{ID: "box"}); err != nil || r.GetTaskPid() == 0 {
			t.Errorf("%s: Connect = %v, %v", state, r, err)
		}
		end()
	}
}

func TestWaitEndsWithTheProcessOrTheRequest(t *testing.T) {
	b := newBench(t)
	root, _ := b.in(t, Running)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Wait(ended, &taskapi.WaitRequest{ID: "box"}); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait = %v, want a cancellation", err)
	}
	go root.init.finish(7)
	if r, err := b.Wait(t.Context(), &taskapi.WaitRequest{ID: "box"}); err != nil || r.GetExitStatus() != 7 {
		t.Errorf("Wait = %v, %v, want 7", r, err)
	}
}

func TestKillOfAPausedSandboxEndsItAtOnce(t *testing.T) {
	b := newBench(t)
	root, other := b.in(t, Paused)
	if _, err := b.Kill(t.Context(), &taskapi.KillRequest{ID: "box", Signal: sigkill}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*container{root, other} {
		if status, _ := c.init.exit(); !c.init.hasExited() || status != killedStatus {
			t.Errorf("%s: ended %v with %d", c.id, c.init.hasExited(), status)
		}
	}
	if s := b.sb.machine.state(); s != Stopped {
		t.Errorf("the sandbox is %s", s)
	}
	if _, err := b.Kill(t.Context(), &taskapi.KillRequest{ID: "box", Signal: sigkill}); !errdefs.IsNotFound(err) {
		t.Errorf("killing what has ended: %v", err)
	}
	if diff := cmp.Diff([]string{"other", "box"}, b.exits()); diff != "" {
		t.Errorf("ends (-want +got):\n%s", diff)
	}
}

// SIGKILL ends the verb under way instead of waiting for it.
func TestKillInterruptsAVerb(t *testing.T) {
	b := newBench(t)
	root, _ := b.in(t, Pausing)
	verb, end, err := b.sb.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		<-verb.Done()
		end()
	}()
	if _, err := b.Kill(t.Context(), &taskapi.KillRequest{ID: "box", Signal: sigkill}); err != nil {
		t.Fatal(err)
	}
	if !root.init.hasExited() || !errors.Is(context.Cause(verb), errKilled) {
		t.Errorf("ended %v, the verb with %v", root.init.hasExited(), context.Cause(verb))
	}
}

// A verb that does not end cannot hold Kill for ever, however long its caller would
// wait.
func TestKillIsBounded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.in(t, Pausing)
	_, end, err := b.sb.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	killed := make(chan error, 1)
	go func() {
		_, err := b.Kill(t.Context(), &taskapi.KillRequest{ID: "box", Signal: sigkill})
		killed <- err
	}()
	select {
	case err := <-killed:
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Kill = %v, want a deadline", err)
		}
	case <-time.After(killLimit + patience):
		t.Error("Kill waits for a verb that does not end")
	}
}

func TestOtherSignalsWaitForTheResume(t *testing.T) {
	b := newBench(t)
	root, _ := b.in(t, Paused)
	if _, err := b.Kill(t.Context(), &taskapi.KillRequest{ID: "box", Signal: sigterm}); err != nil {
		t.Fatal(err)
	}
	if root.init.hasExited() {
		t.Error("SIGTERM ended a process that is asleep")
	}
	if diff := cmp.Diff([]uint32{sigterm}, numbers(root.takeSignals())); diff != "" {
		t.Errorf("kept signals (-want +got):\n%s", diff)
	}
}

func TestSignalOfASandboxThatIsGone(t *testing.T) {
	b := newBench(t)
	b.in(t, Running)
	if _, err := b.Kill(t.Context(), &taskapi.KillRequest{ID: "box", Signal: sigterm}); !errdefs.IsNotFound(err) {
		t.Errorf("Kill = %v, want not found", err)
	}
}

// Execs end with their container and are reported before it, even if nobody
// says how they ended.
func TestAContainersEndTakesItsExecsAlong(t *testing.T) {
	b := newBench(t)
	root, _ := b.in(t, Running)
	for _, id := range []string{"e1", "e2", "e3"} {
		e := &execution{process: newTestProcess(id)}
		e.setStarted(7)
		if err := root.addExec(e); err != nil {
			t.Fatal(err)
		}
	}
	start := time.Now()
	b.exited(b.sb, root, 5)
	if took := time.Since(start); took > 2*execGrace {
		t.Errorf("it took %v, want the grace once", took)
	}
	got := b.exits()
	if len(got) != 4 || got[3] != "box" {
		t.Fatalf("ends = %v, want three execs and then the container", got)
	}
	slices.Sort(got[:3])
	if diff := cmp.Diff([]string{"e1", "e2", "e3", "box"}, got); diff != "" {
		t.Errorf("ends (-want +got):\n%s", diff)
	}
}

func TestPauseRefusesWhatItCannotSave(t *testing.T) {
	tests := []struct {
		name   string
		state  State
		change func(root, other *container)
		want   string
	}{
		{"stopped", Stopped, func(root, other *container) { root.init.finish(0); other.init.finish(0) }, "no running container"},
		{"created", Created, func(root, other *container) {}, "no running container"},
		{"a container not started", Running, func(root, other *container) { other.init = newTestProcess("") }, "start or delete it first"},
		{"on-pause None", Running, func(root, other *container) { root.decl.onPause = artifacts.None }, "on-pause"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			root, other := b.in(t, tt.state)
			tt.change(root, other)
			_, err := b.Service.Pause(t.Context(), &taskapi.PauseRequest{ID: "box"})
			if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Pause = %v, want a failed precondition with %q", err, tt.want)
			}
			if s := b.sb.machine.state(); s != tt.state {
				t.Errorf("the sandbox became %s", s)
			}
			if calls := b.calls(t); len(calls) > 0 {
				t.Errorf("runsc was called: %v", calls)
			}
		})
	}
}

// A pause that fails before anything is safe leaves everything as it was.
func TestFailedPauseLeavesTheSandboxRunning(t *testing.T) {
	b := newBench(t)
	b.in(t, Running)
	_, err := b.Service.Pause(t.Context(), &taskapi.PauseRequest{ID: "box"}) // nobody serves its control socket
	if err == nil || !strings.Contains(err.Error(), "freeze sandbox box") {
		t.Errorf("Pause = %v, want the freeze named", err)
	}
	if s := b.sb.machine.state(); s != Running {
		t.Errorf("the sandbox is %s", s)
	}
	if slices.ContainsFunc(b.calls(t), func(c string) bool { return strings.HasPrefix(c, "delete") }) {
		t.Errorf("the sandbox was deleted: %v", b.calls(t))
	}
	if snaps, err := b.sb.local.List(); err != nil || len(snaps) > 0 {
		t.Errorf("snapshots %v, %v, want none", snaps, err)
	}
	if len(b.sb.verb) != 0 {
		t.Error("the verb is still under way")
	}
}

func TestResumeWantsAPausedSandbox(t *testing.T) {
	for _, state := range []State{Created, Running, Stopped} {
		b := newBench(t)
		b.in(t, state)
		_, err := b.Service.Resume(t.Context(), &taskapi.ResumeRequest{ID: "box"})
		if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), string(state)) {
			t.Errorf("Resume of a sandbox that is %s = %v", state, err)
		}
		if s := b.sb.machine.state(); s != state {
			t.Errorf("it became %s", s)
		}
	}
}

func TestPlanCommit(t *testing.T) {
	type request struct{ scope, store string }
	tests := []struct {
		name    string
		request request
		change  func(root *container, b *bench)
		want    string // "" is a plan
		class   func(error) bool
	}{
		{"defaults", request{}, nil, "", nil},
		{"a configured store", request{"Full", "main"}, nil, "", nil},
		{"a URL from the node", request{"Full", "file:///x"}, nil, "", nil},
		{"unknown scope", request{"Some", ""}, nil, `"Some"`, errdefs.IsInvalidArgument},
		{"scope None", request{"None", ""}, nil, `"None"`, errdefs.IsInvalidArgument},
		{"unknown store", request{"", "nope"}, nil, `"nope"`, errdefs.IsNotFound},
		{"data without volumes", request{"Data", ""}, nil, "ateom.dev/durable-dirs", errdefs.IsFailedPrecondition},
		{"on-commit None", request{}, func(c *container, _ *bench) { c.decl.onCommit = artifacts.None }, "ateom.dev/on-commit", errdefs.IsFailedPrecondition},
		{"wider than on-pause", request{"Full", ""}, func(c *container, _ *bench) { c.decl.onPause = artifacts.Data }, "ateom.dev/on-pause", errdefs.IsInvalidArgument},
		{"unknown store of the annotation", request{}, func(c *container, _ *bench) { c.decl.store = "nope" }, `"nope"`, errdefs.IsNotFound},
		{"data", request{"Data", ""}, func(_ *container, b *bench) { b.sb.volumes["home"] = job.Volume{Name: "home", Path: "/x"} }, "", nil},
		{"nothing runs", request{}, func(c *container, b *bench) {
			for _, c := range b.sb.all() {
				c.init.finish(0)
			}
		}, "no running container", errdefs.IsFailedPrecondition},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			root, _ := b.in(t, Running)
			if tt.change != nil {
				tt.change(root, b)
			}
			plan, err := b.sb.planCommit(tt.request.scope, tt.request.store, nil)
			if tt.want == "" {
				if err != nil || plan.store.URL == "" || plan.scope == "" {
					t.Errorf("planCommit = %+v, %v", plan, err)
				}
				return
			}
			if err == nil || !tt.class(err) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("planCommit = %+v, %v, want an error with %q of its class", plan, err, tt.want)
			}
		})
	}
}

func TestCheckpointChecksItsPathFirst(t *testing.T) {
	b := newBench(t)
	root, _ := b.in(t, Running)
	for _, path := range []string{"", "relative/dir"} {
		if _, err := b.Checkpoint(t.Context(), &taskapi.CheckpointTaskRequest{ID: "box", Path: path}); !errdefs.IsInvalidArgument(err) {
			t.Errorf("Checkpoint to %q = %v", path, err)
		}
	}
	root.decl.onCommit = artifacts.None
	dir := filepath.Join(t.TempDir(), "checkpoint")
	if _, err := b.Checkpoint(t.Context(), &taskapi.CheckpointTaskRequest{ID: "box", Path: dir}); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("Checkpoint of a sandbox that is never committed = %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the refused checkpoint made its directory: %v", err)
	}
}
