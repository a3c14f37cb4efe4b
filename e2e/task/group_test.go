// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package task

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/client"

	"github.com/ateom/ateom/e2e/harness"
)

func TestContainersOfAGroupShareASandbox(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	group := map[string]string{"io.containerd.ateom.v1.group": harness.NewID(t)}
	script := "i=0; while :; do echo $i; i=$((i+1)); sleep 0.01; done"
	first := n.Run(t, harness.Container{Args: []string{"sh", "-c", script}, Annotations: group})
	second := n.Run(t, harness.Container{Args: []string{"sh", "-c", script}, Annotations: group})
	if shims := first.Shims(t); len(shims) != 1 {
		t.Errorf("shims %q, want one", shims)
	}
	if shims := second.Shims(t); len(shims) != 0 {
		t.Errorf("the second container has shims of its own: %q", shims)
	}
	ctx := n.Context(t)
	if err := second.Pause(ctx); err != nil {
		t.Fatal(err)
	}
	first.WantState(t, client.Paused)
	second.WantState(t, client.Paused)
	if left := first.Processes(t); len(left) > 0 {
		t.Errorf("processes while paused: %q", left)
	}
	if err := first.Resume(ctx); err != nil {
		t.Fatal(err)
	}
	for _, task := range []*harness.Task{first, second} {
		task.WantState(t, client.Running)
		lines := strings.Count(task.Log(t), "\n")
		task.AwaitLog(t, fmt.Sprintf("\n%d\n", lines+10))
		if err := run(t, task, "true"); err != nil {
			t.Error(err)
		}
	}
	if code := second.KillAndWait(t, syscall.SIGKILL); code != 137 {
		t.Errorf("exit code of the second container %d, want 137", code)
	}
	first.WantState(t, client.Running)
}
