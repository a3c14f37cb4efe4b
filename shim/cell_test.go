// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/ttrpc"
	"github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/types/known/anypb"

	ateomv1 "github.com/ateom/ateom/proto/ateom/v1"
	"github.com/ateom/ateom/shim/stdio"
)

// A cell is a verb about to be called in a state, on a fake runtime.
type cell struct {
	*bench
	f   *fakeRuntime
	tty *execution
	// release lets the verb under way go on; outcome is how it ended, over is
	// closed then.
	release func()
	outcome chan error
	over    chan struct{}
}

// newCell brings a sandbox into the state by the verbs that lead there.
func newCell(t *testing.T, state State) *cell {
	t.Helper()
	b := newBench(t)
	c := &cell{bench: b, f: b.withRuntime(t), release: func() {}, outcome: make(chan error, 1), over: closedChannel}
	if state == Created {
		b.addContainer(t, "box")
		b.addContainer(t, "other")
		if err := c.f.boot(1, 0); err != nil {
			t.Fatal(err)
		}
		b.sb.newLife(c.f.running().pid)
	} else {
		b.runs(t, c.f)
	}
	ctx := t.Context()
	under := func(call string, verb func() error) {
		c.release = c.f.stop(call)
		t.Cleanup(c.release)
		c.over = make(chan struct{})
		go func() {
			defer close(c.over)
			c.outcome <- verb()
		}()
		c.f.await(call)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	pause := func() error { _, err := b.Service.Pause(ctx, &taskapi.PauseRequest{ID: "box"}); return err }
	switch state {
	case Pausing:
		under("checkpoint", pause)
	case Paused:
		must(pause())
	case Resuming:
		must(pause())
		under("restore", func() error { return c.call(t, verbResume) })
	case Committing:
		under("gofer capture", func() error { return c.call(t, verbCommit) })
	case Stopped:
		must(c.call(t, verbKill))
		root, _ := b.sb.container("box")
		<-root.init.exited
		for began := time.Now(); b.sb.machine.state() != Stopped && time.Since(began) < patience; {
			time.Sleep(time.Millisecond) // the state follows the end, and nobody is told of it
		}
	}
	if got := b.sb.machine.state(); got != state {
		t.Fatalf("the sandbox is %s, want %s", got, state)
	}
	c.prepare(t)
	return c
}

// prepare adds what verbs are about: an exec that was not started, one with a
// terminal, and a container that was not started.
func (c *cell) prepare(t *testing.T) {
	t.Helper()
	root, err := c.sb.container("box")
	if err != nil {
		t.Fatal(err)
	}
	streams, err := stdio.Open(t.Context(), stdio.Config{Terminal: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { streams.Close() })
	c.tty = &execution{process: newProcess("tty", stdio.Config{}, streams)}
	idle := &execution{process: newTestProcess("idle"), spec: &specs.Process{}}
	for _, e := range []*execution{c.tty, idle} {
		if err := root.addExec(e); err != nil {
			t.Fatal(err)
		}
	}
}

// A listener receives a Commit's events.
type listener struct{ ttrpc.StreamServer }

func (listener) Send(*ateomv1.CommitEvent) error { return nil }

// call calls a verb as a client does.
func (c *cell) call(t *testing.T, v verb) error { return c.callIn(t, t.Context(), v) }

func (c *cell) callIn(t *testing.T, ctx context.Context, v verb) (err error) {
	t.Helper()
	limits := &anypb.Any{Value: []byte(`{"memory":{"limit":4096}}`)}
	switch v {
	case verbState:
		_, err = c.State(ctx, &taskapi.StateRequest{ID: "box"})
	case verbPids:
		_, err = c.Pids(ctx, &taskapi.PidsRequest{ID: "box"})
	case verbConnect:
		_, err = c.Connect(ctx, &taskapi.ConnectRequest{ID: "box"})
	case verbStats:
		_, err = c.Stats(ctx, &taskapi.StatsRequest{ID: "box"})
	case verbStatus:
		_, err = snapshots{c.Service}.Status(ctx, &ateomv1.StatusRequest{Id: "box"})
	case verbList:
		_, err = snapshots{c.Service}.List(ctx, &ateomv1.ListRequest{Id: "box"})
	case verbWait:
		// It is under way at once; the process's end is what it answers with.
		given, cancel := context.WithCancel(ctx)
		cancel()
		if _, err = c.Wait(given, &taskapi.WaitRequest{ID: "box"}); errors.Is(err, context.Canceled) {
			err = nil
		}
	case verbResizePty:
		_, err = c.ResizePty(ctx, &taskapi.ResizePtyRequest{ID: "box", ExecID: "tty", Width: 1, Height: 1})
	case verbCloseIO:
		_, err = c.CloseIO(ctx, &taskapi.CloseIORequest{ID: "box", Stdin: true})
	case verbShutdown:
		_, err = c.Shutdown(ctx, &taskapi.ShutdownRequest{ID: "box"})
	case verbCreate:
		_, err = c.Create(ctx, &taskapi.CreateTaskRequest{ID: "third", Bundle: newThirdBundle(t)})
	case verbStart:
		_, err = c.Start(ctx, &taskapi.StartRequest{ID: c.notStarted(t)})
	case verbExec:
		_, err = c.Exec(ctx, &taskapi.ExecProcessRequest{ID: "box", ExecID: "new", Spec: &anypb.Any{Value: []byte(`{}`)}})
	case verbStartExec:
		_, err = c.Start(ctx, &taskapi.StartRequest{ID: "box", ExecID: "idle"})
	case verbUpdate:
		_, err = c.Update(ctx, &taskapi.UpdateTaskRequest{ID: "box", Resources: limits})
	case verbPause:
		_, err = c.Service.Pause(ctx, &taskapi.PauseRequest{ID: "box"})
	case verbResume:
		_, err = c.Service.Resume(ctx, &taskapi.ResumeRequest{ID: "box"})
	case verbCommit:
		err = snapshots{c.Service}.Commit(ctx, &ateomv1.CommitRequest{Id: "box"}, listener{})
	case verbCheckpoint:
		_, err = c.Checkpoint(ctx, &taskapi.CheckpointTaskRequest{ID: "box", Path: filepath.Join(t.TempDir(), "checkpoint")})
	case verbSignal:
		_, err = c.Kill(ctx, &taskapi.KillRequest{ID: "box", Signal: sigterm})
	case verbKill:
		_, err = c.Kill(ctx, &taskapi.KillRequest{ID: "box", Signal: sigkill})
	case verbDelete:
		_, err = c.Delete(ctx, &taskapi.DeleteRequest{ID: "box"})
	default:
		t.Fatalf("nobody knows how to call %s", v)
	}
	return err
}

func newThirdBundle(t *testing.T) string {
	t.Helper()
	bundle := t.TempDir()
	text, err := json.Marshal(&specs.Spec{Process: &specs.Process{Args: []string{"x"}}, Root: &specs.Root{Path: t.TempDir()}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return bundle
}

// notStarted returns a container that was not started.
func (c *cell) notStarted(t *testing.T) string {
	t.Helper()
	if c.sb.machine.state() == Created {
		return "box"
	}
	added := c.addContainer(t, "late")
	added.init = newTestProcess("")
	return "late"
}
