// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package task

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"

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

// A container that has ended and was not deleted yet keeps no sandbox asleep: a
// snapshot does without it.
func TestAContainerThatHasEndedKeepsNoSandboxAsleep(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	group := map[string]string{"io.containerd.ateom.v1.group": harness.NewID(t)}
	first := n.Run(t, harness.Container{Args: []string{"sh", "-c", "i=0; while :; do echo $i; i=$((i+1)); sleep 0.01; done"}, Annotations: group})
	second := n.Run(t, harness.Container{Args: []string{"sh", "-c", "exit 3"}, Annotations: group})
	second.AwaitState(t, client.Stopped)
	for _, verb := range [][]string{{"pause"}, {"resume"}, {"commit", "--scope", "Full"}, {"pause"}, {"resume"}} {
		n.Ateom(t, append(append([]string{"tasks"}, verb...), first.ID)...)
	}
	lines := strings.Count(first.Log(t), "\n")
	first.AwaitLog(t, fmt.Sprintf("\n%d\n", lines+10))
	status, err := second.Delete(n.Context(t))
	if err != nil {
		t.Fatal(err)
	}
	if code := status.ExitCode(); code != 3 {
		t.Errorf("exit code %d of the container that has ended, want 3", code)
	}
}

// A container that was created and not started yet is in the way of a snapshot,
// which would wait for it for ever.
func TestNoSnapshotHoldsAContainerThatWasNotStarted(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	group := map[string]string{"io.containerd.ateom.v1.group": harness.NewID(t)}
	first := n.Run(t, harness.Container{Args: []string{"sleep", "10000"}, Annotations: group})
	second := n.Create(t, harness.Container{Args: []string{"sleep", "10000"}, Annotations: group})
	if _, err := second.Container.NewTask(n.Context(t), cio.NullIO); err != nil {
		t.Fatal(err)
	}
	for _, verb := range [][]string{{"pause"}, {"commit", "--scope", "Full"}} {
		r := n.Do(t, harness.Command{Program: "ctr-ateom", Args: append(append([]string{"tasks"}, verb...), first.ID)})
		if want := "container " + second.ID + " of sandbox"; r.Code == 0 || !strings.Contains(r.Stderr, want) || !strings.Contains(r.Stderr, "created and not started") {
			t.Errorf("%v: exit code %d, %q, want the container named", verb, r.Code, r.Stderr)
		}
	}
	first.WantState(t, client.Running)
}

// Whoever deletes a sandbox's containers begins where it likes: containerd runs the
// delete action after each, and as long as one is left its shim is there for it. The DurableDirs
// go with the last one and are not taken for those of a shim that died.
func TestTheRootContainerOfAGroupMayBeDeletedFirst(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	annotations := map[string]string{
		"io.containerd.ateom.v1.group": harness.NewID(t),
		"ateom.dev/durable-dirs":       `[{"name":"home","mountPath":"/home"}]`,
	}
	first := n.Run(t, harness.Container{Args: []string{"sleep", "10000"}, Annotations: annotations})
	second := n.Run(t, harness.Container{Args: []string{"sh", "-c", "exit 7"}, Annotations: annotations})
	second.AwaitState(t, client.Stopped)
	shim := first.Shim(t)
	first.KillAndWait(t, syscall.SIGKILL)
	if _, err := first.Delete(n.Context(t)); err != nil {
		t.Fatal(err)
	}
	if got := first.Shim(t); got != shim {
		t.Errorf("the shim is process %d, want %d", got, shim)
	}
	status, err := second.Delete(n.Context(t))
	if err != nil {
		t.Fatal(err)
	}
	if code := status.ExitCode(); code != 7 {
		t.Errorf("exit code %d, want 7", code)
	}
	for _, dir := range []string{filepath.Join("volumes", n.Namespace, first.ID), filepath.Join("lost", n.Namespace+"-"+first.ID+"-*")} {
		if left, err := filepath.Glob(filepath.Join(n.Config.StateDir, dir)); err != nil || len(left) > 0 {
			t.Errorf("left: %q, %v", left, err)
		}
	}
}
