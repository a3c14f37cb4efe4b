// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"

	"github.com/ateom/ateom/shim/stdio"
)

func newTestProcess(execID string) *process {
	return newProcess(execID, stdio.Config{}, &stdio.Streams{})
}

func TestAProcessEndsOnce(t *testing.T) {
	p := newTestProcess("")
	if p.isStarted() || p.hasExited() || p.hostPid() != 0 {
		t.Errorf("a new process is started %v, ended %v, pid %d", p.isStarted(), p.hasExited(), p.hostPid())
	}
	p.setStarted(7)
	p.setPid(8) // goes on in another sandbox
	if !p.isStarted() || p.hostPid() != 8 {
		t.Errorf("started %v, pid %d, want 8", p.isStarted(), p.hostPid())
	}
	if status, at := p.exit(); status != 0 || !at.IsZero() {
		t.Errorf("exit of a running process = %d at %v", status, at)
	}
	var all sync.WaitGroup
	var first atomic.Int64
	for status := range 8 {
		all.Go(func() {
			if p.finish(status + 1) {
				first.Store(int64(status + 1))
			}
		})
	}
	all.Wait()
	status, at := p.exit()
	if int64(status) != first.Load() || status == 0 || time.Since(at) > time.Minute {
		t.Errorf("exit = %d at %v, and the one that counted was %d", status, at, first.Load())
	}
	if p.finish(99) {
		t.Error("the process ended twice")
	}
	if again, sameAt := p.exit(); again != status || sameAt != at {
		t.Errorf("exit became %d at %v", again, sameAt)
	}
}

func TestExecsOfAContainer(t *testing.T) {
	c := &container{id: "c", init: newTestProcess("")}
	e := &execution{process: newTestProcess("e")}
	if err := c.addExec(e); err != nil {
		t.Fatal(err)
	}
	if err := c.addExec(&execution{process: newTestProcess("e")}); !errdefs.IsAlreadyExists(err) {
		t.Errorf("the same id again: %v", err)
	}
	if p, err := c.process("e"); err != nil || p != e.process {
		t.Errorf("process e = %v, %v", p, err)
	}
	if p, err := c.process(""); err != nil || p != c.init {
		t.Errorf("first process = %v, %v", p, err)
	}
	if _, err := c.process("x"); !errdefs.IsNotFound(err) {
		t.Errorf("process x = %v", err)
	}
	if live := c.liveExecs(); len(live) != 0 {
		t.Errorf("execs that were not started live: %v", live)
	}
	e.setStarted(1)
	if live := c.liveExecs(); len(live) != 1 {
		t.Errorf("live execs = %v, want one", live)
	}
	e.finish(0)
	if live := c.liveExecs(); len(live) != 0 {
		t.Errorf("execs that have ended live: %v", live)
	}
	c.removeExec("e")
	if _, err := c.exec("e"); !errdefs.IsNotFound(err) {
		t.Errorf("removed exec = %v", err)
	}
}

func TestSignalsOfAPauseAreKeptInOrderAndOnce(t *testing.T) {
	c := &container{}
	c.keepSignal(&taskapi.KillRequest{Signal: 15})
	c.keepSignal(&taskapi.KillRequest{Signal: 1})
	if diff := cmp.Diff([]uint32{15, 1}, numbers(c.takeSignals())); diff != "" {
		t.Errorf("signals (-want +got):\n%s", diff)
	}
	if again := c.takeSignals(); len(again) != 0 {
		t.Errorf("delivered twice: %v", again)
	}
}

func TestStatusWords(t *testing.T) {
	alive := &life{}
	started, ended := newTestProcess(""), newTestProcess("")
	started.setStarted(7)
	ended.setStarted(7)
	ended.finish(0)
	tests := []struct {
		state State
		life  *life
		want  tasktypes.Status
	}{
		{Created, alive, tasktypes.Status_RUNNING}, // started, and the state follows in a moment
		{Running, alive, tasktypes.Status_RUNNING},
		{Pausing, alive, tasktypes.Status_PAUSING},
		{Paused, nil, tasktypes.Status_PAUSED},
		{Resuming, alive, tasktypes.Status_PAUSED},
		{Committing, alive, tasktypes.Status_RUNNING},
		{Committing, nil, tasktypes.Status_PAUSED},
	}
	for _, tt := range tests {
		sb := &sandbox{machine: machineIn(tt.state), life: tt.life}
		if got := sb.status(started); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.state, got, tt.want)
		}
		if got := sb.status(newTestProcess("")); got != tasktypes.Status_CREATED {
			t.Errorf("%s: a process that was not started is %v", tt.state, got)
		}
		if got := sb.status(ended); got != tasktypes.Status_STOPPED {
			t.Errorf("%s: a process that has ended is %v", tt.state, got)
		}
		// Kubernetes knows no paused containers and would make them anew.
		sb.cri = true
		if got := sb.status(started); got != tasktypes.Status_RUNNING {
			t.Errorf("%s under CRI: %v, want running", tt.state, got)
		}
		if sb.visiblePid(started) == 0 {
			t.Errorf("%s: there is no pid", tt.state)
		}
	}
}

func TestUndoTakesTheLastThingBackFirst(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // what led to the roll-back
	var undone []string
	var undo undoList
	for _, what := range []string{"mount", "volumes", "streams"} {
		undo.add(what, func(ctx context.Context) error {
			undone = append(undone, what)
			if ctx.Err() != nil {
				t.Errorf("%s is taken back with an ended context", what)
			}
			return errors.New("one failure does not stop the rest")
		})
	}
	undo.run(ctx)
	if diff := cmp.Diff([]string{"streams", "volumes", "mount"}, undone); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestStopwatchPhasesSumToTheTotal(t *testing.T) {
	w := newStopwatch(t.Context())
	start := w.last
	for _, name := range []string{"a", "b", "c"} {
		w.mark(name)
	}
	var sum int64
	names := []string{}
	for _, p := range w.phases {
		sum += p.GetNanos()
		names = append(names, p.GetName())
	}
	if total := w.last.Sub(start).Nanoseconds(); sum != total || !slices.Equal(names, []string{"a", "b", "c"}) {
		t.Errorf("phases %v sum to %d of %d ns", names, sum, total)
	}
}
