// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	eventstypes "github.com/containerd/containerd/api/events"
	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"

	ateomv1 "github.com/ateom/ateom/proto/ateom/v1"
)

// newFrozen pauses a sandbox whose Pause is answered before its save, which
// stops until release is called; calls named failing fail.
func newFrozen(t *testing.T, failing ...string) (b *bench, f *fakeRuntime, release func()) {
	t.Helper()
	b = newBench(t)
	f = b.withRuntime(t)
	root, _ := b.runs(t, f)
	root.decl.pauseReturn = returnFrozen
	f.failing(func(call string) bool { return slices.Contains(failing, call) })
	release = f.stop("checkpoint")
	t.Cleanup(release)
	if _, err := b.Service.Pause(t.Context(), &taskapi.PauseRequest{ID: "box"}); err != nil {
		t.Fatal(err)
	}
	f.await("checkpoint")
	return b, f, release
}

func TestAFrozenSandboxIsPausedForItsClients(t *testing.T) {
	b, f, release := newFrozen(t)
	if r, err := b.State(t.Context(), &taskapi.StateRequest{ID: "box"}); err != nil || r.GetStatus() != tasktypes.Status_PAUSED {
		t.Errorf("State = %v, %v, want paused", r.GetStatus(), err)
	}
	if _, runs := f.add(1); runs {
		t.Error("the sandbox runs")
	}
	// One more is answered like the first, and the save's end changes nothing.
	if _, err := b.Service.Pause(t.Context(), &taskapi.PauseRequest{ID: "box"}); err != nil {
		t.Error(err)
	}
	over := b.sb.pauses.underWay().ended
	release()
	<-over
	if s := b.sb.machine.state(); s != Paused || b.sb.paused == nil {
		t.Errorf("after its save the sandbox is %s", s)
	}
	b.flush()
	if n := b.recorder.count(&eventstypes.TaskPaused{}); n != 2 {
		t.Errorf("%d TaskPaused events, want one for each container", n)
	}
}

func TestAResumeBeforeTheSavesEndThaws(t *testing.T) {
	b, f, _ := newFrozen(t)
	resp, err := snapshots{b.Service}.Resume(t.Context(), &ateomv1.ResumeRequest{Id: "box"})
	if err != nil {
		t.Fatal(err)
	}
	if len(resp.GetPhases()) != 1 || resp.GetPhases()[0].GetName() != "thaw" {
		t.Errorf("phases %v, want a thaw alone", resp.GetPhases())
	}
	if s := b.sb.machine.state(); s != Running {
		t.Errorf("the sandbox is %s", s)
	}
	if n, runs := f.add(0); !runs || n.number != 1 {
		t.Errorf("memory %+v, runs %v", n, runs)
	}
	if snaps, err := b.sb.local.List(); err != nil || len(snaps) > 0 {
		t.Errorf("snapshots %v, %v, want none", snaps, err)
	}
	if slices.Contains(f.heard(), "restore") || slices.Contains(f.heard(), "delete") {
		t.Errorf("the runtime was called with %v", f.heard())
	}
	if why := lastPause(t, b).GetError(); !strings.Contains(why, errThawed.Error()) {
		t.Errorf("Status tells of the Pause: %q, want that it was cut short", why)
	}
	b.flush()
	if n := b.recorder.count(&eventstypes.TaskResumed{}); n != 2 {
		t.Errorf("%d TaskResumed events, want one for each container", n)
	}
}

// Nobody waits for the save; that it failed is told by events, status and log.
func TestASaveThatFailsBehindItsAnswerIsReported(t *testing.T) {
	b, f, release := newFrozen(t, "checkpoint")
	over := b.sb.pauses.underWay().ended
	release()
	<-over
	if s := b.sb.machine.state(); s != Running {
		t.Errorf("the sandbox is %s", s)
	}
	if _, runs := f.add(0); !runs {
		t.Error("the sandbox does not run on")
	}
	if why := lastPause(t, b).GetError(); !strings.Contains(why, "cannot be saved") || !strings.Contains(why, "it runs on") {
		t.Errorf("Status tells of the Pause: %q, want why it failed", why)
	}
	b.flush()
	if n := b.recorder.count(&eventstypes.TaskResumed{}); n < 2 {
		t.Errorf("%d TaskResumed events, want one for each container", n)
	}
}

func TestKillEndsASaveBehindItsAnswer(t *testing.T) {
	b, _, _ := newFrozen(t)
	over := b.sb.pauses.underWay().ended
	if _, err := b.Kill(t.Context(), &taskapi.KillRequest{ID: "box", Signal: sigkill}); err != nil {
		t.Fatal(err)
	}
	<-over
	if s := b.sb.machine.state(); s != Stopped {
		t.Errorf("the sandbox is %s", s)
	}
	b.flush()
	if n := b.recorder.count(&eventstypes.TaskResumed{}); n != 0 {
		t.Errorf("%d TaskResumed events of a killed sandbox", n)
	}
}

// lastPause is what Status tells of it.
func lastPause(t *testing.T, b *bench) *ateomv1.VerbReport {
	t.Helper()
	st, err := snapshots{b.Service}.Status(t.Context(), &ateomv1.StatusRequest{Id: "box"})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range st.GetVerbs() {
		if v.GetVerb() == string(verbPause) {
			return v
		}
	}
	return nil
}

// count counts the events of the type of like.
func (r *recorder) count(like any) (n int) {
	for _, e := range r.events {
		if reflect.TypeOf(e) == reflect.TypeOf(like) {
			n++
		}
	}
	return n
}

// withExec starts a process in the root container.
func withExec(t *testing.T, b *bench, root *container) *execution {
	t.Helper()
	e := &execution{process: newTestProcess("shell"), spec: &specs.Process{}}
	if err := root.addExec(e); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Start(t.Context(), &taskapi.StartRequest{ID: "box", ExecID: "shell"}); err != nil {
		t.Fatal(err)
	}
	return e
}

func TestPauseWithAnExec(t *testing.T) {
	pause := func(ctx context.Context, b *bench) error {
		_, err := b.Service.Pause(ctx, &taskapi.PauseRequest{ID: "box"})
		return err
	}
	for _, choice := range policies[annotationPauseWithExec] {
		t.Run(choice, func(t *testing.T) {
			b := newBench(t)
			f := b.withRuntime(t)
			root, _ := b.runs(t, f)
			root.decl.pauseWithExec = choice
			e := withExec(t, b, root)
			switch choice {
			case execAllow:
				if err := pause(t.Context(), b); err != nil {
					t.Fatal(err)
				}
				if status, _ := e.exit(); !e.hasExited() || status != killedStatus {
					t.Errorf("the exec ended %v with %d", e.hasExited(), status)
				}
				if got := b.exits(); !slices.Equal(got, []string{"shell"}) {
					t.Errorf("ends %v, want the exec's", got)
				}
			case execRefuse:
				if err := pause(t.Context(), b); !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "process shell") {
					t.Errorf("Pause = %v, want it refused because of the process", err)
				}
				if s := b.sb.machine.state(); s != Running || e.hasExited() {
					t.Errorf("the sandbox is %s, the exec ended %v", s, e.hasExited())
				}
			case execWait:
				// A request that is given up leaves all as it was.
				ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
				defer cancel()
				if err := pause(ctx, b); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Pause = %v, want a wait that ends with its request", err)
				}
				if s := b.sb.machine.state(); s != Running || e.hasExited() {
					t.Errorf("the sandbox is %s, the exec ended %v", s, e.hasExited())
				}
				done := make(chan error, 1)
				go func() { done <- pause(t.Context(), b) }()
				// Signals reach it meanwhile.
				if _, err := b.Kill(t.Context(), &taskapi.KillRequest{ID: "box", ExecID: "shell", Signal: sigterm}); err != nil {
					t.Error(err)
				}
				b.execExited(root, e, 5)
				if err := <-done; err != nil {
					t.Error(err)
				}
				if status, _ := e.exit(); status != 5 {
					t.Errorf("the exec ended with %d, want its own 5", status)
				}
			}
		})
	}
}

func TestAnExecResumesByPolicy(t *testing.T) {
	b := newBench(t)
	f := b.withRuntime(t)
	root, _ := b.runs(t, f)
	root.decl.execWhilePaused = pausedResume
	if _, err := b.Service.Pause(t.Context(), &taskapi.PauseRequest{ID: "box"}); err != nil {
		t.Fatal(err)
	}
	e := withExec(t, b, root)
	if s := b.sb.machine.state(); s != Running || !e.isStarted() {
		t.Errorf("the sandbox is %s, the exec started %v", s, e.isStarted())
	}
}

// One that comes while the sandbox is being saved resumes it too: at once where the
// Pause was answered, else after its end.
func TestAnExecResumesWhatIsBeingSaved(t *testing.T) {
	for _, returns := range policies[annotationPauseReturn] {
		t.Run(returns, func(t *testing.T) {
			b := newBench(t)
			f := b.withRuntime(t)
			root, _ := b.runs(t, f)
			root.decl.pauseReturn, root.decl.execWhilePaused = returns, pausedResume
			e := &execution{process: newTestProcess("shell"), spec: &specs.Process{}}
			if err := root.addExec(e); err != nil {
				t.Fatal(err)
			}
			release := f.stop("checkpoint")
			t.Cleanup(release)
			paused := make(chan error, 1)
			go func() {
				_, err := b.Service.Pause(t.Context(), &taskapi.PauseRequest{ID: "box"})
				paused <- err
			}()
			f.await("checkpoint")
			over := b.sb.pauses.underWay().ended
			started := make(chan error, 1)
			ctx := &watchedContext{Context: t.Context(), waits: make(chan struct{})}
			go func() {
				_, err := b.Start(ctx, &taskapi.StartRequest{ID: "box", ExecID: "shell"})
				started <- err
			}()
			if returns == returnSaved {
				<-ctx.waits
				release()
			}
			select {
			case err := <-started:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(patience):
				t.Error("it waits for the save")
			}
			release()
			if err := <-paused; err != nil {
				t.Error(err)
			}
			<-over
			if s := b.sb.machine.state(); s != Running || !e.isStarted() {
				t.Errorf("the sandbox is %s, the exec started %v", s, e.isStarted())
			}
		})
	}
}

// A watchedContext tells when somebody waits for what it may end.
type watchedContext struct {
	context.Context
	once  sync.Once
	waits chan struct{}
}

func (c *watchedContext) Done() <-chan struct{} {
	c.once.Do(func() { close(c.waits) })
	return c.Context.Done()
}

func TestPolicies(t *testing.T) {
	for key, known := range policies {
		if got, err := policy(key, nil); err != nil || got != known[0] {
			t.Errorf("%s unset: %q, %v, want %q", key, got, err, known[0])
		}
		for _, word := range known {
			for _, text := range []string{word, strings.ToLower(word)} {
				if got, err := policy(key, map[string]string{key: text}); err != nil || got != word {
					t.Errorf("%s=%s: %q, %v", key, text, got, err)
				}
			}
		}
		if _, err := declare(map[string]string{key: "Maybe"}); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), key) {
			t.Errorf("%s=Maybe: %v", key, err)
		}
	}
}

// A paused container has used what it had used, and uses nothing.
func TestStatsOfAPausedSandbox(t *testing.T) {
	b := newBench(t)
	f := b.withRuntime(t)
	root, _ := b.runs(t, f)
	for _, paused := range []bool{false, true} {
		if paused {
			if _, err := b.Service.Pause(t.Context(), &taskapi.PauseRequest{ID: "box"}); err != nil {
				t.Fatal(err)
			}
		}
		s, err := b.sb.stats(t.Context(), root)
		if err != nil {
			t.Fatal(err)
		}
		want := uint64(4096)
		if paused {
			want = 0
		}
		if s.CPU.Usage.Total != 7 || s.Memory.Usage.Usage != want {
			t.Errorf("paused %v: CPU time %d, memory %d, want 7 and %d", paused, s.CPU.Usage.Total, s.Memory.Usage.Usage, want)
		}
	}
}
