// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"syscall"
	"testing"

	"github.com/ateom/ateom/e2e/harness"
)

// A shim that lives and does not answer a containerd that was restarted is dead to it:
// the delete action ends it before it cleans up, so that no process of it goes on beside the
// task that takes its place. What the sandbox was paused in, or committed to, is whole.
func TestAShimThatDoesNotAnswerAfterARestartIsEnded(t *testing.T) {
	for _, daemon := range []string{"containerd", "containerd-1.7"} {
		for _, m := range moments {
			if m.program != "" {
				continue
			}
			t.Run(m.name+", "+daemon, func(t *testing.T) {
				t.Parallel()
				s, spec := startOn(t, harness.Config{Daemon: daemon})
				last, n := s.Last(), s.Node
				id, store := durable(t, s, m.asleep)
				pid := s.Shim(t)
				if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) }) // where it was not ended

				n.Restart(t, syscall.SIGKILL)
				harness.Eventually(t, func() error { return nothingOf(t, s.Task) })
				wantWhole(t, n)
				s.Remove(t)
				wantGoesOn(t, n.Wake(t, spec, id, store, false), last)
			})
		}
	}
}
