// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/client"

	"github.com/ateom/ateom/e2e/harness"
)

// A delete action that is killed, as by a containerd that it took too long, is run again when
// containerd is restarted: then nothing stays, and what the sandbox slept in is whole.
func TestADeleteActionThatWasKilledIsRunAgain(t *testing.T) {
	asleep := moment{from: client.Paused}
	for _, daemon := range daemons {
		t.Run(daemon, func(t *testing.T) {
			t.Parallel()
			s, spec, id, store := asleep.beginSaved(t, harness.Config{Daemon: daemon})
			last, n := s.Last(), s.Node
			// Who has the bundle's lock keeps the action from its work.
			bundle, err := os.Open(filepath.Join(n.Dir, "state", "io.containerd.runtime.v2.task", n.Namespace, s.ID))
			must(t, err)
			defer bundle.Close()
			must(t, syscall.Flock(int(bundle.Fd()), syscall.LOCK_EX))
			s.KillShim(t)
			harness.Eventually(t, func() error {
				for _, pid := range owned(t, n, "containerd-shim-ateom-v1") {
					args, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline")) // it may have ended
					if strings.HasSuffix(string(args), "\x00delete\x00") {
						return syscall.Kill(pid, syscall.SIGKILL)
					}
				}
				return errors.New("no delete action runs")
			})
			harness.Eventually(t, func() error {
				if !wasCutOff(t, n) {
					return errors.New("containerd does not say that the action was killed")
				}
				return nil
			})
			if nothingOf(t, s.Task) == nil {
				t.Error("nothing is left: the action was not kept from its work")
			}
			must(t, bundle.Close())

			n.Restart(t, syscall.SIGKILL)
			harness.Eventually(t, func() error { return nothingOf(t, s.Task) })
			wantWhole(t, n)
			s.Remove(t)
			wantGoesOn(t, n.Wake(t, spec, id, store, false), last)
		})
	}
}
