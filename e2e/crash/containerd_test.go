// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/client"

	"github.com/ateom/ateom/e2e/harness"
)

// Releases of containerd that are ended: the newest, and the oldest that docs/operations.md names.
var daemons = []string{"containerd", "containerd-1.7"}

// signals end a containerd.
var signals = []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL}

// containerd is ended, and started again, while a verb is under way. The task is
// what it was, the verb that was asked past containerd goes on, one that was asked through
// it is given up, and the end of the task is told once.
func TestContainerdMayDieInEveryState(t *testing.T) {
	for _, daemon := range daemons {
		for _, m := range moments {
			t.Run(m.name+", "+daemon, func(t *testing.T) {
				t.Parallel()
				m.outlives(t, daemon, signals...)
			})
		}
		for _, m := range relayed {
			for _, signal := range signals {
				t.Run(fmt.Sprintf("%s, %s, %s", m.name, daemon, signal), func(t *testing.T) {
					t.Parallel()
					m.outlives(t, daemon, signal)
				})
			}
		}
	}
}

// outlives ends containerd at the moment, by each signal, and wants a task that has lost
// nothing by it.
func (m moment) outlives(t *testing.T, daemon string, signals ...syscall.Signal) {
	s, _ := m.begin(t, harness.Config{Daemon: daemon}, nothing)
	last, n := s.Last(), s.Node
	release, ended := m.reach(t, s)

	var r *harness.Recorder
	for _, signal := range signals {
		n.Restart(t, signal)
		r = harness.Record(t, n)
		s.Reload(t)
		if m.program == stock {
			// Who lost its client ends by itself; a gofer that is stopped cannot.
			release()
		}
		harness.Eventually(t, func() error {
			if got := s.SandboxState(t); got != m.word {
				return fmt.Errorf("after %s the sandbox is %s, want %s", signal, got, m.word)
			}
			return nil
		})
		s.WantState(t, m.state)
	}
	release()
	if result := <-ended; (result.Code == 0) != (m.program != stock) {
		t.Fatalf("%s %v: exit code %d, %s%s", m.program, m.verb, result.Code, result.Stdout, result.Stderr)
	}
	s.WantState(t, m.after)
	wantWhole(t, n)

	exits := 1
	switch m.after {
	case client.Created:
		must(t, s.Start(n.Context(t)))
		s.AwaitNumbers(t)
	case client.Running:
		wantGoesOn(t, s, last)
	case client.Paused:
		n.Ctr(t, "tasks", "resume", s.ID)
		wantGoesOn(t, s, last)
	case client.Stopped:
		exits = 0 // it was told before
	}
	s.WantNumbers(t, 0)
	if m.after != client.Stopped {
		if code := s.KillAndWait(t, syscall.SIGKILL); code != 137 {
			t.Errorf("exit code %d, want 137", code)
		}
	}
	if status, err := s.Delete(n.Context(t)); err != nil || status.ExitCode() != 137 {
		t.Errorf("delete: %v, exit code %d, want 137", err, status.ExitCode())
	}
	if words := r.Until(t, s.ID, "delete"); count(words, "exit") != exits {
		t.Errorf("events %q, want the exit %d times", words, exits)
	}
}

// The end of a task while there is no containerd is known when it is back.
func TestAnEndThatContainerdMissedIsNotLost(t *testing.T) {
	t.Parallel()
	n := harness.NewNode(t, harness.Config{})
	task := n.Run(t, harness.Container{Args: []string{"sleep", "1000"}})
	if err := n.Stop(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for _, pid := range harness.Find(t, func(args string) bool { return strings.HasPrefix(args, "runsc-sandbox") }) {
		if !n.Owns(pid) {
			continue
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Boot(); err != nil {
		t.Fatal(err)
	}
	r := harness.Record(t, n)
	task.Reload(t)
	exited, err := task.Wait(n.Context(t))
	if err != nil {
		t.Fatal(err)
	}
	if code := harness.AwaitExit(t, exited); code != 137 {
		t.Errorf("exit code %d, want 137", code)
	}
	task.WantState(t, client.Stopped)
	status, err := task.Delete(n.Context(t))
	if err != nil || status.ExitCode() != 137 {
		t.Errorf("delete: %v, exit code %d, want 137", err, status.ExitCode())
	}
	// It may have been told before anybody listened.
	if words := r.Until(t, task.ID, "delete"); count(words, "exit") > 1 {
		t.Errorf("events %q, want no second exit", words)
	}
}
