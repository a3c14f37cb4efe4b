// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package pause

import (
	"fmt"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/client"

	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/shim/config"
)

func TestAServiceGoesOnWhereItWasPaused(t *testing.T) {
	for _, how := range []config.CheckpointIO{config.Gofer, config.Files} {
		t.Run(string(how), func(t *testing.T) {
			t.Parallel()
			n := harness.NewNode(t, harness.Config{Config: config.Config{CheckpointIO: how}})
			s := n.RunService(t, harness.ServiceContainer(harness.NewNetwork(t), 64, nil))
			for cycle := range 10 {
				pauseAndLook(t, s)
				if cycle%2 == 0 {
					n.Ctr(t, "task", "resume", s.ID)
				} else {
					n.Ateom(t, "tasks", "resume", s.ID)
				}
				s.WantState(t, client.Running)
				s.WantSame(t, s.Last())
				s.AwaitNumbers(t)
			}
			s.WantNumbers(t, 0)
		})
	}
}

// pauseAndLook pauses a service and checks what a user sees of it meanwhile.
func pauseAndLook(t *testing.T, s *harness.Service) {
	t.Helper()
	s.Node.Ctr(t, "task", "pause", s.ID)
	s.WantState(t, client.Paused)
	if left := s.Processes(t); len(left) > 0 {
		t.Errorf("processes of the paused sandbox: %q", left)
	}
	if used := s.MemoryUsage(t); used > 1<<20 {
		t.Errorf("the paused sandbox is charged for %d bytes", used)
	}
	if pids, err := s.Pids(s.Node.Context(t)); err != nil || len(pids) == 0 {
		t.Errorf("pids of the paused task: %v, %v", pids, err)
	}
	list := s.Node.Ctr(t, "task", "ls")
	if !strings.Contains(list, fmt.Sprintf("%s    ", s.ID)) || !strings.Contains(list, "PAUSED") {
		t.Errorf("ctr task ls says:\n%s", list)
	}
}

func TestPauseAndResumeTellWhatTheyDid(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	task := n.Run(t, harness.Container{Args: []string{"sleep", "1000"}})
	for _, c := range []struct {
		verb string
		want []string
	}{
		{"pause", []string{`"snapshot"`, `"freeze"`, `"save"`}},
		{"resume", []string{`"restore"`}},
	} {
		out := n.Ateom(t, "tasks", c.verb, "--json", task.ID)
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s --json has no %s: %s", c.verb, want, out)
			}
		}
	}
}
