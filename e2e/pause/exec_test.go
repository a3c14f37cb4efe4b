// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package pause

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/e2e/harness"
)

// runIdle runs a container that does nothing.
func runIdle(t *testing.T, n *harness.Node, annotations map[string]string) *harness.Task {
	t.Helper()
	task := n.Run(t, harness.Container{Args: []string{"sh", "-c", "echo ready; sleep 1000"}, Annotations: annotations})
	task.AwaitLog(t, "ready")
	return task
}

// ctrExec is the command line that runs a script in a task.
func ctrExec(task *harness.Task, execID, script string) harness.Command {
	return harness.Command{Program: "ctr", Args: []string{"task", "exec", "--exec-id", execID, task.ID, "sh", "-c", script}}
}

// A shell is how a process ends that ctr has exec'd into a task.
type shell <-chan harness.Result

// startShell execs a script and waits until it has written its first word, up.
func startShell(t *testing.T, task *harness.Task, execID string, stdin io.Reader, script string) shell {
	t.Helper()
	var out screen
	c := ctrExec(task, execID, "echo up; "+script)
	c.Stdin, c.Watch = stdin, &out
	ended := make(chan harness.Result, 1)
	go func() { ended <- task.Node.Do(t, c) }()
	out.await(t, "up\n")
	return ended
}

// wantEnd waits for the shell's end and compares what ctr says of it.
func (s shell) wantEnd(t *testing.T, code int) {
	t.Helper()
	if r := <-s; r.Code != code || r.Stdout != "up\n" || r.Stderr != "" {
		t.Errorf("ctr task exec: exit code %d, want %d; output %q, errors %q", r.Code, code, r.Stdout, r.Stderr)
	}
}

// wantExec runs a script in the task and wants exit code 7.
func wantExec(t *testing.T, task *harness.Task, execID string) {
	t.Helper()
	if r := task.Node.Do(t, ctrExec(task, execID, "echo done; exit 7")); r.Code != 7 || r.Stdout != "done\n" {
		t.Errorf("ctr task exec: exit code %d, want 7; output %q, errors %q", r.Code, r.Stdout, r.Stderr)
	}
}

// wantExits ends the task and compares the ends that were published.
func wantExits(t *testing.T, r *harness.Recorder, task *harness.Task, want ...string) {
	t.Helper()
	task.KillAndWait(t, syscall.SIGKILL)
	if diff := cmp.Diff(append(want, task.ID+" 137"), r.ExitsUntil(t, task.ID, "exit")); diff != "" {
		t.Errorf("ends (-want +got):\n%s", diff)
	}
}

// What was exec'd ends with a pause and is reported then, once, with 137, whatever
// becomes of the connections: with Keep the sandbox is ended without another step.
func TestAPauseEndsExecs(t *testing.T) {
	for _, connections := range []string{"Close", "Keep"} {
		t.Run(connections, func(t *testing.T) {
			t.Parallel()
			n := harness.Shared(t)
			r := harness.Record(t, n)
			task := runIdle(t, n, map[string]string{"ateom.dev/connections": connections})
			for i := range 2 {
				one, two := startShell(t, task, fmt.Sprint("one", i), nil, "sleep 1000"), startShell(t, task, fmt.Sprint("two", i), nil, "trap '' TERM; sleep 1000")
				n.Ctr(t, "task", "pause", task.ID)
				one.wantEnd(t, 137)
				two.wantEnd(t, 137)
				n.Ctr(t, "task", "resume", task.ID)
				wantExec(t, task, fmt.Sprint("after", i))
			}
			got := map[string]int{}
			task.KillAndWait(t, syscall.SIGKILL)
			for _, exit := range r.ExitsUntil(t, task.ID, "exit") {
				got[exit]++
			}
			want := map[string]int{"one0 137": 1, "two0 137": 1, "after0 7": 1, "one1 137": 1, "two1 137": 1, "after1 7": 1, task.ID + " 137": 1}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("ends (-want +got):\n%s", diff)
			}
		})
	}
}

// runBusy runs a task with that policy, and in it, by ctr, a process "busy", which ends
// with 3 when it is let go.
func runBusy(t *testing.T, n *harness.Node, policy string) (task *harness.Task, busy shell, letGo func()) {
	t.Helper()
	task = runIdle(t, n, map[string]string{"ateom.dev/pause-with-exec": policy})
	stdin, keyboard := io.Pipe()
	t.Cleanup(func() { keyboard.Close() })
	busy = startShell(t, task, "busy", stdin, "read word; exit 3")
	return task, busy, func() {
		t.Helper()
		if _, err := io.WriteString(keyboard, "on\n"); err != nil {
			t.Fatal(err)
		}
		keyboard.Close() // its end does not come with that of its reader
	}
}

func TestAPauseIsRefusedWhileAnExecRuns(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	r := harness.Record(t, n)
	task, s, letGo := runBusy(t, n, "Refuse")
	refused := n.Do(t, harness.Command{Program: "ctr", Args: []string{"task", "pause", task.ID}})
	if refused.Code == 0 {
		t.Error("it was paused")
	}
	wantWords(t, refused.Stderr, "process busy of container "+task.ID+" runs", "ateom.dev/pause-with-exec is Refuse", "end it first")
	task.WantState(t, client.Running)
	letGo()
	s.wantEnd(t, 3)
	n.Ctr(t, "task", "pause", task.ID)
	n.Ctr(t, "task", "resume", task.ID)
	wantExits(t, r, task, "busy 3")
}

func TestAPauseWaitsForAnExec(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	r := harness.Record(t, n)
	task, s, letGo := runBusy(t, n, "Wait")
	ctx, cancel := context.WithTimeout(n.Context(t), time.Second)
	defer cancel()
	// Nothing is lost to a client that goes while it waits.
	if err := task.Pause(ctx); err == nil {
		t.Error("it was paused while a process ran")
	}
	task.WantState(t, client.Running)
	paused := make(chan harness.Result, 1)
	go func() { paused <- n.Do(t, harness.Command{Program: "ctr", Args: []string{"task", "pause", task.ID}}) }()
	letGo()
	s.wantEnd(t, 3)
	if r := <-paused; r.Code != 0 {
		t.Errorf("pause: exit code %d: %s", r.Code, r.Stderr)
	}
	task.WantState(t, client.Paused)
	n.Ctr(t, "task", "resume", task.ID)
	wantExits(t, r, task, "busy 3")
}

func TestAnExecIntoAPausedTaskIsRefused(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	task := runIdle(t, n, nil)
	n.Ctr(t, "task", "pause", task.ID)
	r := n.Do(t, ctrExec(task, "early", "exit 7"))
	if r.Code == 0 || r.Code == 7 {
		t.Errorf("exit code %d", r.Code)
	}
	wantWords(t, r.Stderr, task.ID, "it is paused", "resume it first")
	task.WantState(t, client.Paused)
	n.Ctr(t, "task", "resume", task.ID)
	wantExec(t, task, "early") // its name is free
}

// By policy an exec resumes what is paused, whenever it comes: also into a sandbox
// that is being saved, which it need not wait for where the pause was answered.
func TestAnExecResumesFirst(t *testing.T) {
	for _, returns := range []string{"Saved", "Frozen"} {
		t.Run(returns, func(t *testing.T) {
			t.Parallel()
			n, g := newGated(t)
			r := harness.Record(t, n)
			task := runIdle(t, n, map[string]string{"ateom.dev/exec-while-paused": "Resume", "ateom.dev/pause-return": returns})
			if returns == "Saved" {
				n.Ctr(t, "task", "pause", task.ID)
				wantExec(t, task, "asleep")
				task.WantState(t, client.Running)
				r.Until(t, task.ID, "resumed")
			}

			g.shut(t)
			paused := make(chan harness.Result, 1)
			go func() { paused <- n.Do(t, harness.Command{Program: "ctr", Args: []string{"task", "pause", task.ID}}) }()
			open := g.await(t)
			ended := make(chan harness.Result, 1)
			go func() { ended <- n.Do(t, ctrExec(task, "saved", "exit 7")) }()
			if returns == "Saved" {
				r.Until(t, task.ID, "exec-added") // its start follows, and waits
				open()
			}
			if r := <-ended; r.Code != 7 {
				t.Errorf("ctr task exec: exit code %d, want 7: %s", r.Code, r.Stderr)
			}
			if returns == "Frozen" {
				open()
			}
			if r := <-paused; r.Code != 0 {
				t.Errorf("pause: exit code %d: %s", r.Code, r.Stderr)
			}
			task.WantState(t, client.Running)
		})
	}
}

// Who attaches to a paused task resumes nothing: it shows what was written and not
// read yet, and what is typed waits for the resume.
func TestAttachingToAPausedTask(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	var streams *cio.FIFOSet
	task := n.Run(t, harness.Container{
		Args: []string{"sh", "-c", "echo ready; while read word; do echo got $word; done"},
		IO: func(id string) (_ cio.IO, err error) { // nobody reads, as when a client has gone
			if streams, err = cio.NewFIFOSetInDir(t.TempDir(), id, false); err != nil {
				return nil, err
			}
			for _, path := range []string{streams.Stdin, streams.Stdout, streams.Stderr} {
				if err := unix.Mkfifo(path, 0o600); err != nil {
					return nil, err
				}
			}
			return cio.Load(streams)
		},
	})
	harness.Eventually(t, func() error { return holdsBytes(streams.Stdout, len("ready\n")) })
	n.Ctr(t, "task", "pause", task.ID)

	var out screen
	c := harness.Command{Program: "ctr", Args: []string{"task", "attach", task.ID}, Stdin: strings.NewReader("word\n"), Watch: &out}
	ended := make(chan harness.Result, 1)
	go func() { ended <- n.Do(t, c) }()
	out.await(t, "ready\n")
	harness.Eventually(t, func() error { return holdsBytes(streams.Stdin, len("word\n")) })
	task.WantState(t, client.Paused)
	n.Ctr(t, "task", "resume", task.ID)
	out.await(t, "ready\ngot word\n")
	n.Ctr(t, "task", "kill", "--signal", "SIGKILL", task.ID)
	if r := <-ended; r.Code != 137 || r.Stdout != "ready\ngot word\n" {
		t.Errorf("ctr task attach: exit code %d, output %q, errors %q", r.Code, r.Stdout, r.Stderr)
	}
}

// holdsBytes is nil if a FIFO holds that many bytes.
func holdsBytes(fifo string, want int) error {
	fd, err := unix.Open(fifo, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if got, err := unix.IoctlGetInt(fd, unix.TIOCINQ); err != nil || got != want {
		return fmt.Errorf("%s holds %d bytes, want %d (%v)", filepath.Base(fifo), got, want, err)
	}
	return nil
}
