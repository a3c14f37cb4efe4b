// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package task

import (
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/google/go-cmp/cmp"

	"github.com/ateom/ateom/e2e/harness"
)

func TestEventsComeInTheirOrder(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	r := harness.Record(t, n)
	task := n.Run(t, harness.Container{Args: []string{"sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.01; done"}})
	ctx := n.Context(t)
	if err := run(t, task, "true"); err != nil {
		t.Fatal(err)
	}
	if err := task.Pause(ctx); err != nil {
		t.Fatal(err)
	}
	if err := task.Resume(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := task.Checkpoint(ctx, client.WithCheckpointImagePath("file://"+t.TempDir())); err != nil {
		t.Fatal(err)
	}
	task.KillAndWait(t, syscall.SIGKILL)
	if _, err := task.Delete(ctx); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"create", "start", "exec-added", "exec-started", "exit of exec",
		"paused", "resumed",
		// What the client does for a checkpoint.
		"paused", "checkpointed", "resumed",
		"exit", "delete",
	}
	if diff := cmp.Diff(want, r.Until(t, task.ID, "delete")); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestWantOfMemoryIsTold(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	r := harness.Record(t, n)
	task := n.Create(t, harness.Container{
		Args: []string{"sh", "-c", "tail /dev/zero"},
		Opts: []oci.SpecOpts{harness.WithMemoryLimit(128 << 20)},
	})
	if code := task.RunToEnd(t); code != 137 {
		t.Errorf("exit code %d, want 137", code)
	}
	if diff := cmp.Diff([]string{"create", "start", "oom", "exit"}, r.Until(t, task.ID, "exit")); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// A pod's cgroup outlives the containers in it, with the count of those that
// were killed for want of memory.
func TestWantOfMemoryIsToldOfTheContainerThatHadIt(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	cgroup, err := harness.MakeCgroup("kept")
	if err != nil {
		t.Fatal(err)
	}
	if err := harness.LimitCgroup(cgroup, 128<<20); err != nil {
		t.Fatal(err)
	}
	r := harness.Record(t, n)
	container := harness.Container{
		Args: []string{"sh", "-c", "tail /dev/zero"},
		Opts: []oci.SpecOpts{oci.WithCgroup("/" + cgroup)},
	}
	first := n.Create(t, container)
	first.RunToEnd(t)
	if diff := cmp.Diff([]string{"create", "start", "oom", "exit"}, r.Until(t, first.ID, "exit")); diff != "" {
		t.Errorf("events of the first container (-want +got):\n%s", diff)
	}
	first.Remove(t)

	container.Args = []string{"sleep", "1000"}
	second := n.Run(t, container)
	if err := syscall.Kill(int(second.Pid()), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"create", "start", "exit"}, r.Until(t, second.ID, "exit")); diff != "" {
		t.Errorf("events of a container that somebody has killed (-want +got):\n%s", diff)
	}
}
