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
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/google/go-cmp/cmp"

	"github.com/ateom/ateom/e2e/harness"
)

// However a sandbox of several containers ends, each of them has ended once, its state
// says so and it can be deleted: those that run, and those that were created and not started.
func TestEveryContainerEndsWithItsSandbox(t *testing.T) {
	for name, tt := range map[string]struct {
		startRoot, startOther, withCreated bool
		pause                              bool
		end                                func(*testing.T, *harness.Task)
	}{
		"root killed":                     {true, true, true, false, killRoot},
		"root deleted":                    {true, true, true, false, deleteRoot},
		"sandbox killed":                  {true, true, true, false, killSandbox},
		"created root killed":             {false, false, true, false, killRoot},
		"created root deleted":            {false, false, true, false, deleteRoot},
		"created, sandbox killed":         {false, false, true, false, killSandbox},
		"root killed while paused":        {true, true, false, true, killRoot},
		"root deleted while it is paused": {true, true, false, true, deleteRoot},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := harness.Shared(t)
			ctx := n.Context(t)
			parent, err := harness.MakeCgroup(strings.ReplaceAll(name, " ", "-"))
			if err != nil {
				t.Fatal(err)
			}
			annotations := map[string]string{"io.containerd.ateom.v1.group": harness.NewID(t)}
			// One for each container, from before there is one: they listen from a moment after.
			records := []*harness.Recorder{harness.Record(t, n), harness.Record(t, n), harness.Record(t, n)}
			var tasks []*harness.Task
			add := func(start bool) {
				path := filepath.Join("/", parent, "pod")
				if len(tasks) > 0 {
					path = filepath.Join(path, fmt.Sprint(len(tasks)))
				}
				task := n.Create(t, harness.Container{Args: []string{"sleep", "10000"}, Annotations: annotations, Opts: []oci.SpecOpts{oci.WithCgroup(path)}})
				if task.Task, err = task.Container.NewTask(ctx, cio.NullIO); err != nil {
					t.Fatal(err)
				}
				if start {
					if err := task.Start(ctx); err != nil {
						t.Fatal(err)
					}
				}
				tasks = append(tasks, task)
			}
			add(tt.startRoot)
			if tt.startOther {
				add(true)
			}
			if tt.withCreated {
				add(false)
			}
			var exits []<-chan client.ExitStatus
			for _, task := range tasks {
				exited, err := task.Wait(ctx)
				if err != nil {
					t.Fatal(err)
				}
				exits = append(exits, exited)
			}
			if tt.pause {
				if err := tasks[0].Pause(ctx); err != nil {
					t.Fatal(err)
				}
			}
			tt.end(t, tasks[0])
			for i, exited := range exits {
				if code := harness.AwaitExit(t, exited); code != 137 {
					t.Errorf("container %d has ended with %d, want 137", i, code)
				}
			}
			for i, task := range tasks {
				if status, err := task.Status(ctx); i > 0 && (err != nil || status.Status != client.Stopped) {
					t.Errorf("container %d is %v, %v, want stopped", i, status.Status, err)
				}
				if _, err := task.Delete(ctx); err != nil && i > 0 {
					t.Errorf("delete container %d: %v", i, err)
				}
				if diff := cmp.Diff([]string{"exit", "delete"}, ends(records[i].Until(t, task.ID, "delete"))); diff != "" {
					t.Errorf("events of container %d (-want +got):\n%s", i, diff)
				}
			}
			if left, err := filepath.Glob(filepath.Join("/sys/fs/cgroup", "*", parent, "pod")); err != nil || len(left) > 0 {
				t.Errorf("cgroups are left: %q, %v", left, err)
			}
		})
	}
}

// ends are the words of events from a container's end on.
func ends(words []string) (last []string) {
	for _, w := range words {
		if w == "exit" || w == "delete" {
			last = append(last, w)
		}
	}
	return last
}

func killRoot(t *testing.T, root *harness.Task) {
	t.Helper()
	if err := root.Kill(root.Node.Context(t), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// deleteRoot deletes it as who does not care in which state it is.
func deleteRoot(t *testing.T, root *harness.Task) {
	t.Helper()
	if _, err := root.Delete(root.Node.Context(t), client.WithProcessKill); err != nil {
		t.Fatal(err)
	}
}

func killSandbox(t *testing.T, root *harness.Task) {
	t.Helper()
	sandboxes := harness.Find(t, func(args string) bool {
		return strings.HasPrefix(args, "runsc-sandbox ") && strings.Contains(args, "/"+root.ID+"/runsc.log")
	})
	if len(sandboxes) != 1 {
		t.Fatalf("sandboxes %v, want one", sandboxes)
	}
	if err := syscall.Kill(sandboxes[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}
