// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package pause

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/e2e/harness"
)

// stallers are the processes that a Resume waits for.
var stallers = map[string]func(args string) bool{
	"side-car": func(args string) bool { return strings.Contains(args, "checkpointgofer") },
	"sandbox":  func(args string) bool { return strings.HasPrefix(args, "runsc-sandbox") },
	"runsc":    func(args string) bool { return strings.Contains(args, " restore --detach") },
	"files":    func(args string) bool { return strings.HasPrefix(args, "runsc-gofer") },
}

// stallResume pauses a service and resumes it, and has one process stand still
// from its first moments on. Whether it came in time is not known before ended is.
func stallResume(t *testing.T, n *harness.Node, matches func(args string) bool) (s *harness.Service, id string, ended <-chan harness.Result) {
	t.Helper()
	s = n.RunService(t, harness.ServiceContainer(harness.NewNetwork(t), 64, nil))
	id = pausedID(t, n, s)
	said := make(chan harness.Result, 1)
	go func() {
		said <- n.Do(t, harness.Command{Program: "ctr-ateom", Args: []string{"tasks", "resume", s.ID}})
	}()
	harness.Eventually(t, func() error {
		for _, pid := range harness.Find(t, matches) {
			if n.Owns(pid) {
				return unix.Kill(pid, unix.SIGSTOP)
			}
		}
		if len(said) > 0 {
			return nil // too late
		}
		return errors.New("it has not begun")
	})
	return s, id, said
}

// A Resume that stalls does not keep Kill and Delete from winning, and none of
// its processes stays.
func TestKillWinsOverAResumeThatStalls(t *testing.T) {
	for what, matches := range stallers {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			untilHit(t, func() bool { return killStalled(t, matches) })
		})
	}
}

// killStalled kills a service whose Resume stalls, and says whether it did stall.
func killStalled(t *testing.T, matches func(args string) bool) (hit bool) {
	t.Helper()
	n := harness.NewNode(t, harness.Config{})
	s, _, ended := stallResume(t, n, matches)
	began := time.Now()
	if code := s.KillAndWait(t, syscall.SIGKILL); code != 137 {
		t.Errorf("exit code %d, want 137", code)
	}
	killed := time.Now()
	if _, err := s.Delete(n.Context(t)); err != nil {
		t.Error(err)
	}
	for verb, took := range map[string]time.Duration{"kill": killed.Sub(began), "delete": time.Since(killed)} {
		if took > killLimit {
			t.Errorf("the %s took %s, more than %s", verb, took, killLimit)
		}
	}
	if left := s.Processes(t); len(left) > 0 {
		t.Errorf("processes left: %q", left)
	}
	return (<-ended).Code != 0
}

// Nothing stays of a Resume that stalled and whose shim was killed, and its
// snapshot does.
func TestNothingStaysOfAStalledResumeWhoseShimDies(t *testing.T) {
	for what, matches := range stallers {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			untilHit(t, func() bool {
				n := harness.NewNode(t, harness.Config{})
				s, id, ended := stallResume(t, n, matches)
				r := harness.Record(t, n)
				s.KillShim(t)
				hit := (<-ended).Code != 0
				r.Until(t, s.ID, "delete")
				s.AwaitNoProcesses(t)
				n.Ateom(t, "snapshots", "verify", "--deep", "--store", "local", id)
				return hit
			})
		})
	}
}
