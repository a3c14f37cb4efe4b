// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package pause

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/google/go-cmp/cmp"

	"github.com/ateom/ateom/e2e/harness"
)

// runGated runs a service on a node whose saves pass a gate.
func runGated(t *testing.T, annotations map[string]string) (*harness.Service, *gate) {
	t.Helper()
	n, g := newGated(t)
	return n.RunService(t, harness.ServiceContainer(harness.NewNetwork(t), 16, annotations)), g
}

var returnsFrozen = map[string]string{"ateom.dev/pause-return": "Frozen"}

// inStore lists what a node's own store has: whole snapshots and drafts.
func inStore(t *testing.T, n *harness.Node) (snapshots, drafts []string) {
	t.Helper()
	snapshots, err := filepath.Glob(filepath.Join(n.Config.StateDir, "snapshots", "*", "manifest.json"))
	if err == nil {
		drafts, err = filepath.Glob(filepath.Join(n.Config.StateDir, "drafts", "*"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return snapshots, drafts
}

// lastVerb is what Status tells of the last verb of a kind; ok says whether it
// tells anything.
func lastVerb(t *testing.T, task *harness.Task, verb string) (cause, why string, ok bool) {
	t.Helper()
	var s struct {
		Verbs []struct{ Verb, Cause, Error string }
	}
	if err := json.Unmarshal([]byte(task.Node.Ateom(t, "tasks", "status", "--json", task.ID)), &s); err != nil {
		t.Fatal(err)
	}
	for _, v := range s.Verbs {
		if v.Verb == verb {
			return v.Cause, v.Error, true
		}
	}
	return "", "", false
}

func TestAPauseIsAnsweredWhenItsSnapshotIsWhole(t *testing.T) {
	t.Parallel()
	s, g := runGated(t, nil)
	n := s.Node
	g.shut(t)
	paused := make(chan harness.Result, 1)
	go func() { paused <- n.Do(t, harness.Command{Program: "ctr", Args: []string{"task", "pause", s.ID}}) }()
	open := g.await(t)
	s.WantState(t, client.Pausing)
	select {
	case r := <-paused:
		open()
		t.Fatalf("the pause was answered before the save: %+v", r)
	default:
	}
	if whole, _ := inStore(t, n); len(whole) > 0 {
		t.Errorf("snapshots before the save: %q", whole)
	}
	open()
	if r := <-paused; r.Code != 0 {
		t.Fatalf("exit code %d: %s", r.Code, r.Stderr)
	}
	s.WantState(t, client.Paused)
	whole, drafts := inStore(t, n)
	if len(whole) != 1 || len(drafts) > 0 {
		t.Fatalf("snapshots %q and drafts %q at the answer", whole, drafts)
	}
	n.Ateom(t, "snapshots", "verify", "--deep", "--store", "local", filepath.Base(filepath.Dir(whole[0])))
	if left := s.Processes(t); len(left) > 0 {
		t.Errorf("processes of the paused sandbox: %q", left)
	}
	n.Ctr(t, "task", "resume", s.ID)
	s.WantSame(t, s.Last())
}

// With Frozen a Pause is answered while the save has all of its work before it,
// and nothing runs from then on.
func TestAPauseThatReturnsFrozenSavesBehind(t *testing.T) {
	t.Parallel()
	s, g := runGated(t, returnsFrozen)
	n := s.Node
	r := harness.Record(t, n)
	g.shut(t)
	n.Ctr(t, "task", "pause", s.ID)
	slept := s.Log(t)
	open := g.await(t)
	s.WantState(t, client.Paused)
	if got := s.SandboxState(t); got != "pausing" {
		t.Errorf("the sandbox is %s, want pausing", got)
	}
	if _, _, ok := lastVerb(t, s.Task, "pause"); ok {
		t.Error("Status tells of a pause that has ended")
	}
	if out := n.Ateom(t, "tasks", "pause", s.ID); !strings.Contains(out, "it is being saved") {
		t.Errorf("a second pause says: %s", out)
	}
	open()
	harness.Eventually(t, func() error {
		if got := s.SandboxState(t); got != "paused" {
			return fmt.Errorf("the sandbox is %s", got)
		}
		return nil
	})
	if now := s.Log(t); now != slept {
		t.Errorf("a sandbox that was frozen has written %q", strings.TrimPrefix(now, slept))
	}
	if whole, drafts := inStore(t, n); len(whole) != 1 || len(drafts) > 0 {
		t.Errorf("snapshots %q, drafts %q", whole, drafts)
	}
	if cause, why, ok := lastVerb(t, s.Task, "pause"); !ok || cause != "" {
		t.Errorf("Status tells of the pause: %v, %s: %s", ok, cause, why)
	}
	if left := s.Processes(t); len(left) > 0 || s.MemoryUsage(t) > 1<<20 {
		t.Errorf("the paused sandbox has processes %q and is charged for %d bytes", left, s.MemoryUsage(t))
	}
	n.Ctr(t, "task", "resume", s.ID)
	s.WantSame(t, s.Last())
	s.AwaitNumbers(t)
	s.WantNumbers(t, 0)
	if diff := cmp.Diff([]string{"paused", "resumed"}, r.Until(t, s.ID, "resumed")); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// A Resume does not wait for a save that has not ended: it thaws.
func TestAResumeBeforeTheSavesEndThaws(t *testing.T) {
	t.Parallel()
	s, g := runGated(t, returnsFrozen)
	n := s.Node
	for range 2 {
		r := harness.Record(t, n)
		g.shut(t)
		n.Ctr(t, "task", "pause", s.ID)
		open := g.await(t)
		n.Ctr(t, "task", "resume", s.ID)
		s.WantState(t, client.Running)
		s.WantSame(t, s.Last())
		s.AwaitNumbers(t)
		open()
		if diff := cmp.Diff([]string{"paused", "resumed"}, r.Until(t, s.ID, "resumed")); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if whole, drafts := inStore(t, n); len(whole)+len(drafts) > 0 {
			t.Errorf("the save that was cut short left %q and %q", whole, drafts)
		}
		if _, why, _ := lastVerb(t, s.Task, "pause"); !strings.Contains(why, "it runs on: sandbox was resumed before it was saved") {
			t.Errorf("Status tells of the pause: %q", why)
		}
	}
	// The next save is none the worse for it.
	n.Ctr(t, "task", "pause", s.ID)
	harness.Eventually(t, func() error {
		if whole, _ := inStore(t, n); len(whole) == 0 || s.SandboxState(t) != "paused" {
			return fmt.Errorf("it is not saved")
		}
		return nil
	})
	n.Ctr(t, "task", "resume", s.ID)
	s.WantSame(t, s.Last())
	s.WantNumbers(t, 0)
}

// Nobody waits for a save behind its answer: that it failed is told by events,
// the state, Status and the log, and the sandbox runs on.
func TestASaveThatFailsBehindItsAnswerIsTold(t *testing.T) {
	t.Parallel()
	s, g := runGated(t, returnsFrozen)
	n := s.Node
	r := harness.Record(t, n)
	g.shut(t)
	n.Ctr(t, "task", "pause", s.ID)
	open := g.await(t)
	g.kill(t)
	s.AwaitState(t, client.Running)
	open()
	if diff := cmp.Diff([]string{"paused", "resumed"}, r.Until(t, s.ID, "resumed")); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	words := []string{"pause sandbox " + s.ID + "; it runs on: ", "save sandbox " + s.ID + ": "}
	harness.Eventually(t, func() error { // it is told when all is cleared up
		if _, _, ok := lastVerb(t, s.Task, "pause"); !ok {
			return fmt.Errorf("Status tells of no pause")
		}
		return nil
	})
	_, why, _ := lastVerb(t, s.Task, "pause")
	wantWords(t, why, words...)
	if human := n.Ateom(t, "tasks", "status", s.ID); !strings.Contains(human, words[0]) {
		t.Errorf("Status does not tell a person:\n%s", human)
	}
	lines := slices.DeleteFunc(strings.Split(harness.ReadFile(t, n.LogPath()), "\n"), func(line string) bool {
		return !strings.Contains(line, `msg="verb failed"`) || !strings.Contains(line, words[0])
	})
	if len(lines) != 1 {
		t.Errorf("the log has %d lines of it, want 1: %q", len(lines), lines)
	}
	wantUntouched(t, s)
	n.Ctr(t, "task", "pause", s.ID)
	harness.Eventually(t, func() error {
		if got := s.SandboxState(t); got != "paused" {
			return fmt.Errorf("the sandbox is %s", got)
		}
		return nil
	})
	n.Ctr(t, "task", "resume", s.ID)
	s.WantSame(t, s.Last())
}
