// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/client"

	"github.com/ateom/ateom/e2e/harness"
)

// wasCutOff says whether the node's containerd has killed a delete action, which did not end
// in 5 s.
func wasCutOff(t *testing.T, n *harness.Node) bool {
	t.Helper()
	for line := range strings.Lines(harness.ReadFile(t, n.LogPath())) {
		if strings.Contains(line, "failed to delete") && strings.Contains(line, "signal: killed") {
			return true
		}
	}
	return false
}

// awaitNothingOf waits until there is nothing of a task whose shim was given up. On a machine that
// is too busy for the delete action to end in 5 s, containerd kills it: it comes back to the
// bundle when it is restarted again, and then nothing may stay.
func awaitNothingOf(t *testing.T, task *harness.Task) {
	t.Helper()
	n := task.Node
	harness.Eventually(t, func() error {
		err := nothingOf(t, task)
		if err != nil && wasCutOff(t, n) {
			return nil
		}
		return err
	})
	if nothingOf(t, task) == nil {
		return
	}
	t.Logf("containerd has killed a delete action: %s", n.Warnings())
	n.Restart(t, syscall.SIGKILL)
	harness.Eventually(t, func() error { return nothingOf(t, task) })
}

// A shim that lives and does not answer a containerd that was restarted is dead to it:
// the delete action ends it before it cleans up, so that no process of it goes on beside the
// task that takes its place. What the sandbox was paused in, or committed to, is whole.
func TestAShimThatDoesNotAnswerAfterARestartIsEnded(t *testing.T) {
	for _, daemon := range daemons {
		for _, m := range moments {
			if m.program != "" {
				continue
			}
			t.Run(m.name+", "+daemon, func(t *testing.T) {
				t.Parallel()
				s, spec, id, store := m.beginSaved(t, harness.Config{Daemon: daemon})
				last, n := s.Last(), s.Node
				pid := s.Shim(t)
				if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) }) // where it was not ended

				n.Restart(t, syscall.SIGKILL)
				awaitNothingOf(t, s.Task)
				wantWhole(t, n)
				s.Remove(t)
				if m.from == client.Created {
					return // it had nothing yet
				}
				wantGoesOn(t, n.Wake(t, spec, id, store, false), last)
			})
		}
	}
}
