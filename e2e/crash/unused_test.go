// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/ateom/ateom/e2e/harness"
)

// betrayal is a shim whose first start action has containerd killed: before the shim's process is
// started, before containerd has read the answer, or when it has and is about to send, or
// sends, Create.
const betrayal = `#!/bin/sh
case "$*" in
*" start")
	if mkdir "$0.once" 2>/dev/null; then
		%[3]s
		answer=$(%[1]s "$@") || exit 1
		%[2]s
		printf %%s "$answer"
		exit
	fi
esac
exec %[1]s "$@"
`

// betrayals kill the parent of the start action, after the shim was started and before.
var betrayals = map[string][2]string{
	"before the shim":   {"", "kill -9 $PPID"},
	"before the answer": {"kill -9 $PPID", ""},
	"after the answer": {`(i=0; until [ -e shim-binary-path ] || [ -e bootstrap.json ] || [ $i = 1000 ]; do i=$((i+1)); sleep 0.01; done
		kill -9 $PPID) </dev/null >/dev/null 2>&1 &`, ""},
}

// leaveLimit is the two minutes after which a shim leaves that has no container, and a
// minute for a busy machine.
const leaveLimit = 3 * time.Minute

// containerd is killed between the start of a shim and Create. When it is back it sees to the
// shim, of which nothing stays.
func TestAShimThatGotNoCreateGoesWhenContainerdIsBack(t *testing.T) {
	for _, daemon := range daemons {
		for name, betray := range betrayals {
			t.Run(name+", "+daemon, func(t *testing.T) {
				t.Parallel()
				task := orphanShim(t, daemon, betray)
				must(t, task.Node.Boot())
				task.Remove(t)
				harness.Eventually(t, func() error { return noShimOf(t, task) })
				// A shim that is told to end in the middle of Create, before it has written down what
				// it makes, leaves that to the sweep.
				task.Node.Ateom(t, "snapshots", "gc", "--store", "local")
				harness.Eventually(t, func() error { return nothingOf(t, task) })
			})
		}
	}
}

// Where containerd does not come back, or does not know of the shim, that leaves by itself.
func TestAShimThatGetsNoCreateLeaves(t *testing.T) {
	for _, name := range []string{"before the shim", "before the answer"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			task := orphanShim(t, "", betrayals[name])
			harness.Eventually(t, func() error {
				if shims := task.Shims(t); len(shims) != 1 {
					return fmt.Errorf("shims %q, want the one that was started", shims)
				}
				return nil
			})
			if err := harness.PollFor(leaveLimit, time.Second, func() error { return noShimOf(t, task) }); err != nil {
				t.Error(err)
			}
			must(t, task.Node.Boot())
			task.Remove(t)
			harness.Eventually(t, func() error { return nothingOf(t, task) })
		})
	}
}

func noShimOf(t *testing.T, task *harness.Task) error {
	t.Helper()
	if shims := task.Shims(t); len(shims) > 0 {
		return fmt.Errorf("there is %q", shims)
	}
	if _, err := os.Lstat(task.ShimSocket(t)); err == nil {
		return fmt.Errorf("there is the socket of the shim")
	}
	return nil
}

// orphanShim returns a container whose shim was started by a containerd that was killed
// then, and is not there.
func orphanShim(t *testing.T, daemon string, betray [2]string) *harness.Task {
	t.Helper()
	const name = "containerd-shim-ateom-v1"
	shim, err := harness.Program(name)
	must(t, err)
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, name), fmt.Appendf(nil, betrayal, shim, betray[0], betray[1]), 0o700))
	n := harness.NewNode(t, harness.Config{Daemon: daemon, ShimDir: dir})
	task := n.Create(t, keeper)
	if err := task.Make(t, keeper); err == nil {
		t.Log("Create was faster than the end of containerd")
	}
	harness.Eventually(t, func() error {
		if _, err := n.Client.Version(n.Context(t)); err == nil {
			return fmt.Errorf("containerd lives")
		}
		return nil
	})
	must(t, n.Stop(syscall.SIGKILL)) // it has ended
	return task
}
