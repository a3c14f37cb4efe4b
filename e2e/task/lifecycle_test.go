// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package task

import (
	"bytes"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/e2e/harness"
)

func TestTaskHasATerminal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	n := harness.Shared(t)
	task := n.Create(t, harness.Container{
		Args: []string{"sh", "-c", "read line; stty size; echo got $line; exit 5"},
		Opts: []oci.SpecOpts{oci.WithTTY},
	})
	ctx := n.Context(t)
	created, err := task.Container.NewTask(ctx, cio.NewCreator(cio.WithStreams(strings.NewReader("word\n"), &out, nil), cio.WithTerminal))
	if err != nil {
		t.Fatal(err)
	}
	exited, err := created.Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := created.Resize(ctx, 132, 43); err != nil {
		t.Fatal(err)
	}
	if err := created.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if code := harness.AwaitExit(t, exited); code != 5 {
		t.Errorf("exit code %d, want 5", code)
	}
	if _, err := created.Delete(ctx); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.Contains(got, "43 132\r\n") || !strings.HasSuffix(got, "got word\r\n") {
		t.Errorf("output %q, want the size 43 132 and the word", got)
	}
}

func TestSignalsEndTheTask(t *testing.T) {
	for _, c := range []struct {
		name   string
		script string
		signal syscall.Signal
		want   uint32
	}{
		{"KILL", "trap '' TERM; echo ready; while :; do sleep 1; done", syscall.SIGKILL, 137},
		{"TERM handled", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done", syscall.SIGTERM, 3},
		// Process 1 of a PID namespace ignores what it does not handle.
		{"TERM to a child", "echo ready; sleep 1000 & trap 'kill -TERM $!' TERM; wait; wait $!; exit $?", syscall.SIGTERM, 143},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			task := harness.Shared(t).Run(t, harness.Container{Args: []string{"sh", "-c", c.script}})
			task.AwaitLog(t, "ready")
			if code := task.KillAndWait(t, c.signal); code != c.want {
				t.Errorf("exit code %d, want %d", code, c.want)
			}
			task.WantState(t, client.Stopped)
			if err := task.Kill(task.Node.Context(t), syscall.SIGKILL); !errdefs.IsNotFound(err) {
				t.Errorf("kill it once more: %v, want not found", err)
			}
		})
	}
}

func TestTaskRunsWithoutAnyStream(t *testing.T) {
	t.Parallel()
	task := harness.Shared(t).Create(t, harness.Container{Args: []string{"sh", "-c", "echo nobody hears; exit 4"}})
	if code := task.RunToEnd(t); code != 4 {
		t.Errorf("exit code %d, want 4", code)
	}
}

func TestACreatedTaskCanBeDeleted(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	task := n.Create(t, harness.Container{Args: []string{"echo", "never"}})
	ctx := n.Context(t)
	created, err := task.Container.NewTask(ctx, cio.NullIO)
	if err != nil {
		t.Fatal(err)
	}
	if status, err := created.Status(ctx); err != nil || status.Status != client.Created {
		t.Errorf("status %v, %v, want created", status.Status, err)
	}
	if _, err := created.Delete(ctx); err != nil {
		t.Errorf("delete it: %v", err)
	}
	if left := task.Processes(t); len(left) > 0 {
		t.Errorf("processes left: %q", left)
	}
}

func TestAQueryTellsPidsMetricsAndState(t *testing.T) {
	t.Parallel()
	task := harness.Shared(t).Run(t, harness.Container{Args: []string{"sh", "-c", "echo ready; sleep 1000"}})
	task.AwaitLog(t, "ready")
	ctx := task.Node.Context(t)
	pids, err := task.Pids(ctx)
	if err != nil || len(pids) == 0 {
		t.Errorf("pids %v, %v, want some", pids, err)
	}
	if task.Pid() == 0 || (len(pids) > 0 && pids[0].Pid != task.Pid()) {
		t.Errorf("pid %d, list of pids %v", task.Pid(), pids)
	}
	if metrics, err := task.Metrics(ctx); err != nil || metrics.GetData() == nil {
		t.Errorf("metrics %v, %v", metrics, err)
	}
	task.WantState(t, client.Running)
}

func TestUpdateChangesTheMemoryLimit(t *testing.T) {
	t.Parallel()
	task := harness.Shared(t).Run(t, harness.Container{
		Args: []string{"sleep", "1000"}, Opts: []oci.SpecOpts{harness.WithMemoryLimit(256 << 20)},
	})
	before := task.MemoryLimit(t)
	resources := harness.MemoryResources(512 << 20)
	if err := task.Update(task.Node.Context(t), client.WithResources(resources)); err != nil {
		t.Fatal(err)
	}
	if after := task.MemoryLimit(t); before != 256<<20 || after != 512<<20 {
		t.Errorf("limit was %d and is %d, want %d and %d", before, after, 256<<20, 512<<20)
	}
}
