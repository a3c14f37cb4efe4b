// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package versions

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"

	"github.com/ateom/ateom/e2e/harness"
)

// counting writes the numbers from 0 on, one a line.
const counting = "i=0; while :; do echo $i; i=$((i+1)); sleep 0.01; done"

// Everything that a user does, on every release that docs/operations.md names.
func TestContainerdReleases(t *testing.T) {
	for _, r := range []struct{ daemon, version string }{
		{"containerd-1.7", "1.7."}, {"containerd-2.2", "2.2."}, {"containerd-2.3", "2.3."}, {"containerd", "2.4."},
	} {
		t.Run(r.version+"x", func(t *testing.T) {
			t.Parallel()
			n := harness.NewNode(t, harness.Config{Daemon: r.daemon})
			wantDaemon(t, n, r.version)
			task := n.Run(t, harness.Container{Args: []string{"sh", "-c", counting}})
			task.AwaitLog(t, "\n5\n")
			exec(t, task)

			n.Ctr(t, "task", "pause", task.ID)
			task.WantState(t, client.Paused)
			if left := task.Processes(t); len(left) > 0 {
				t.Errorf("processes of the paused sandbox: %q", left)
			}
			n.Restart(t, syscall.SIGKILL)
			wantDaemon(t, n, r.version)
			task.Reload(t)
			task.WantState(t, client.Paused)
			n.Ctr(t, "task", "resume", task.ID)
			task.WantState(t, client.Running)
			lines := strings.Count(task.Log(t), "\n")
			task.AwaitLog(t, fmt.Sprintf("\n%d\n", lines+5))
			exec(t, task)

			id := harness.LastLine(n.Ateom(t, "tasks", "commit", "--scope", "Full", task.ID))
			if list := n.Ateom(t, "snapshots", "ls", "--quiet", "--store", "dir"); !strings.Contains(list, id) {
				t.Errorf("the store has %q, want %s", list, id)
			}
			for i, line := range strings.Split(strings.TrimSpace(task.Log(t)), "\n") {
				if line != strconv.Itoa(i) {
					t.Fatalf("line %d of the log is %q", i, line)
				}
			}
			if code := task.KillAndWait(t, syscall.SIGKILL); code != 137 {
				t.Errorf("exit code %d, want 137", code)
			}
			task.Remove(t)
			if shims := task.Shims(t); len(shims) > 0 {
				t.Errorf("shims of a deleted task: %q", shims)
			}
		})
	}
}

// wantDaemon proves that the node's containerd is of that release.
func wantDaemon(t *testing.T, n *harness.Node, version string) {
	t.Helper()
	v, err := n.Client.Version(n.Context(t))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(strings.TrimPrefix(v.Version, "v"), version) {
		t.Fatalf("containerd is %s, want %sx", v.Version, version)
	}
}

// exec runs a command in the task and wants its exit code.
func exec(t *testing.T, task *harness.Task) {
	t.Helper()
	ctx := task.Node.Context(t)
	spec, err := task.Container.Spec(ctx)
	if err != nil {
		t.Fatal(err)
	}
	process := *spec.Process
	process.Args = []string{"sh", "-c", "exit 7"}
	p, err := task.Exec(ctx, harness.NewID(t), &process, cio.NullIO)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if _, err := p.Delete(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	}()
	exited, err := p.Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if code := harness.AwaitExit(t, exited); code != 7 {
		t.Errorf("exec: exit code %d, want 7", code)
	}
}
