// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package pause

import (
	"encoding/json"
	"fmt"
	"testing"

	cgroup1 "github.com/containerd/cgroups/v3/cgroup1/stats"
	cgroup2 "github.com/containerd/cgroups/v3/cgroup2/stats"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/typeurl/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/ateom/ateom/e2e/harness"
)

// Limits that are changed hold through pauses, also those that are changed
// meanwhile; what an update does not name stays.
func TestUpdatesHoldThroughPauses(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	task := n.Run(t, harness.Container{Args: []string{"sleep", "1000"}, Opts: []oci.SpecOpts{harness.WithMemoryLimit(256 << 20)}})
	ctx := n.Context(t)
	update := func(resources *specs.LinuxResources) {
		t.Helper()
		if err := task.Update(ctx, client.WithResources(resources)); err != nil {
			t.Fatal(err)
		}
	}
	// wake resumes the task and compares the limit.
	wake := func(want int64) {
		t.Helper()
		task.WantState(t, client.Paused)
		n.Ctr(t, "task", "resume", task.ID)
		if got := task.MemoryLimit(t); got != want {
			t.Errorf("after the resume the limit is %d, want %d", got, want)
		}
	}
	update(harness.MemoryResources(512 << 20))
	n.Ctr(t, "task", "pause", task.ID)
	wake(512 << 20)
	n.Ctr(t, "task", "pause", task.ID)
	update(harness.MemoryResources(384 << 20))
	shares := uint64(512)
	update(&specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: &shares}})
	wake(384 << 20)
	n.Ctr(t, "task", "pause", task.ID)
	wake(384 << 20)
}

// counters are what containerd tells of a task, whatever the machine's version of
// cgroups is.
type counters struct{ cpu, memory, cache, pids uint64 }

// metrics asks containerd, and compares its answer with that of ctr task metrics.
func metrics(t *testing.T, task *harness.Task) (c counters) {
	t.Helper()
	m, err := task.Metrics(task.Node.Context(t))
	if err != nil {
		t.Fatal(err)
	}
	any, err := typeurl.UnmarshalAny(m.GetData())
	if err != nil {
		t.Fatal(err)
	}
	printed := []byte(task.Node.Ctr(t, "task", "metrics", "--format", "json", task.ID))
	switch v := any.(type) {
	case *cgroup1.Metrics:
		c = counters{v.GetCPU().GetUsage().GetTotal(), v.GetMemory().GetUsage().GetUsage(), v.GetMemory().GetCache(), v.GetPids().GetCurrent()}
		var again cgroup1.Metrics
		err = json.Unmarshal(printed, &again)
		if again.GetMemory().GetUsage().GetUsage() == 0 != (c.memory == 0) || again.GetCPU().GetUsage().GetTotal() < c.cpu {
			t.Errorf("ctr task metrics says %s, and its answer to a client is %+v", printed, c)
		}
	case *cgroup2.Metrics:
		c = counters{v.GetCPU().GetUsageUsec(), v.GetMemory().GetUsage(), v.GetMemory().GetFile(), v.GetPids().GetCurrent()}
		var again cgroup2.Metrics
		err = json.Unmarshal(printed, &again)
		if again.GetMemory().GetUsage() == 0 != (c.memory == 0) || again.GetCPU().GetUsageUsec() < c.cpu {
			t.Errorf("ctr task metrics says %s, and its answer to a client is %+v", printed, c)
		}
	default:
		t.Fatalf("metrics of type %T", any)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Metrics of a paused task claim nothing that it does not have: no memory, no
// processes, and the CPU time that it had used. As long as the save goes on behind
// the answer, the memory is there, and is told.
func TestMetricsOfAPausedTask(t *testing.T) {
	t.Parallel()
	const held = 8 << 20
	n, g := newGated(t)
	task := n.Run(t, harness.Container{
		Args:        []string{"sh", "-c", fmt.Sprintf("x=$(head -c %d /dev/zero | tr '\\0' x); echo ready; while :; do sleep 1; done; echo $x", held)},
		Annotations: returnsFrozen,
	})
	task.AwaitLog(t, "ready")
	for range 2 {
		running := metrics(t, task)
		if running.memory < held || running.pids == 0 || running.cpu == 0 {
			t.Errorf("a running task: %+v, want memory, processes and CPU time", running)
		}
		g.shut(t)
		n.Ctr(t, "task", "pause", task.ID)
		open := g.await(t)
		task.WantState(t, client.Paused)
		frozen := metrics(t, task)
		if frozen.memory < held || frozen.cpu < running.cpu {
			t.Errorf("a frozen task: %+v; it was %+v", frozen, running)
		}
		open()
		harness.Eventually(t, func() error {
			if got := task.SandboxState(t); got != "paused" {
				return fmt.Errorf("the sandbox is %s", got)
			}
			return nil
		})
		if asleep := metrics(t, task); asleep != (counters{cpu: frozen.cpu}) {
			t.Errorf("a paused task: %+v, want its CPU time alone, %+v", asleep, counters{cpu: frozen.cpu})
		}
		n.Ctr(t, "task", "resume", task.ID)
		if again := metrics(t, task); again.memory < held || again.pids == 0 || again.cpu < frozen.cpu {
			t.Errorf("a resumed task: %+v; it was %+v", again, frozen)
		}
	}
}
