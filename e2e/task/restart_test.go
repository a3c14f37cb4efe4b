// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package task

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"

	"github.com/ateom/ateom/e2e/harness"
)

// counting writes the numbers from 0 on, one a line.
const counting = "i=0; while :; do echo $i; i=$((i+1)); sleep 0.01; done"

// checkCounting fails the test unless the log is the numbers from 0 on.
func checkCounting(t *testing.T, task *harness.Task) {
	t.Helper()
	for i, line := range strings.Split(strings.TrimSpace(task.Log(t)), "\n") {
		if line != strconv.Itoa(i) {
			t.Fatalf("line %d of the log is %q", i, line)
		}
	}
}

// awaitMore waits until the task has written some more lines.
func awaitMore(t *testing.T, task *harness.Task) {
	t.Helper()
	before := strings.Count(task.Log(t), "\n")
	task.AwaitLog(t, fmt.Sprintf("\n%d\n", before+10))
}

func TestContainerdMayRestartAtAnyTime(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		for _, paused := range []bool{false, true} {
			t.Run(fmt.Sprintf("signal %d, paused %t", signal, paused), func(t *testing.T) {
				t.Parallel()
				n := harness.NewNode(t, harness.Config{})
				task := n.Run(t, harness.Container{Args: []string{"sh", "-c", counting}})
				awaitMore(t, task)
				want := client.Running
				if paused {
					want = client.Paused
					if err := task.Pause(n.Context(t)); err != nil {
						t.Fatal(err)
					}
				}
				n.Restart(t, signal)
				task.Reload(t)
				task.WantState(t, want)
				if paused {
					if err := task.Resume(n.Context(t)); err != nil {
						t.Fatal(err)
					}
				}
				awaitMore(t, task)
				if err := run(t, task, "true"); err != nil {
					t.Errorf("exec after the restart: %v", err)
				}
				checkCounting(t, task)
				if code := task.KillAndWait(t, syscall.SIGKILL); code != 137 {
					t.Errorf("exit code %d, want 137", code)
				}
			})
		}
	}
}

func TestContainerdCleansUpAfterAShimThatDied(t *testing.T) {
	for _, paused := range []bool{false, true} {
		t.Run(fmt.Sprint("paused ", paused), func(t *testing.T) {
			t.Parallel()
			n := harness.NewNode(t, harness.Config{})
			task := n.Run(t, harness.Container{Args: []string{"sh", "-c", counting}})
			awaitMore(t, task)
			if paused {
				if err := task.Pause(n.Context(t)); err != nil {
					t.Fatal(err)
				}
			}
			r := harness.Record(t, n)
			began := time.Now()
			task.KillShim(t)
			r.Until(t, task.ID, "delete")
			task.AwaitNoProcesses(t)
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("cleaning up took %s", took)
			}
			snapshots, err := filepath.Glob(filepath.Join(n.Config.StateDir, "snapshots", "*", "manifest.json"))
			if err != nil || len(snapshots) != map[bool]int{false: 0, true: 1}[paused] {
				t.Errorf("snapshots %q, %v", snapshots, err)
			}
		})
	}
}

// gVisor takes the addresses of a network namespace that somebody else has made;
// who uses that next finds them there, even if the shim could not put them back.
func TestTheNetworkOutlivesAShimThatDied(t *testing.T) {
	t.Parallel()
	n := harness.NewNode(t, harness.Config{})
	spec := harness.ServiceContainer(harness.NewNetwork(t), 1, nil)
	first := n.RunService(t, spec)
	r := harness.Record(t, n)
	first.KillShim(t)
	r.Until(t, first.ID, "delete")
	first.Remove(t)
	n.RunService(t, spec) // it is asked how it is
}
