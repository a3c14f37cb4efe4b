// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/containerd/v2/client"

	"github.com/ateom/ateom/e2e/harness"
)

// The shim is killed while a verb is under way. containerd removes the task and tells
// its end once, nothing of the sandbox stays on the node, and the last snapshot that was
// durable is what a new task goes on from, with the DurableDir that belongs to it.
func TestTheShimMayDieInEveryState(t *testing.T) {
	for _, m := range moments {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			s, spec, id, store := m.beginSaved(t, harness.Config{})
			last, n := s.Last(), s.Node
			release, ended := m.reach(t, s)

			r := harness.Record(t, n)
			began := time.Now()
			s.KillShim(t)
			release()
			// containerd tells the end of a task with its shim, also if it has ended before.
			if words := r.Until(t, s.ID, "delete"); count(words, "exit") != 1 {
				t.Errorf("events %q, want one exit", words)
			}
			harness.Eventually(t, func() error { return nothingOf(t, s.Task) })
			// The delete action has 5 s, and containerd has to notice and to run it.
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("after %s all was gone", took)
			} else {
				t.Logf("after %s all was gone", took.Round(time.Millisecond))
			}
			if result := <-ended; m.program != "" && (result.Code == 0 || strings.Count(strings.TrimSpace(result.Stderr), "\n") > 1) {
				t.Errorf("%s %v: exit code %d, %s%s", m.program, m.verb, result.Code, result.Stdout, result.Stderr)
			}

			wantWhole(t, n)
			if list := strings.TrimSpace(n.Ateom(t, "snapshots", "ls", "--quiet", "--store", bucket(n))); list != "" {
				t.Errorf("a commit that was cut off shows as %q", list)
			}
			s.Remove(t)
			if m.from == client.Created {
				return // it had nothing yet
			}
			wantGoesOn(t, n.Wake(t, spec, id, store, false), last)
		})
	}
}

// nothingOf says what there is still of a task whose shim has died, snapshots and
// DurableDirs apart.
func nothingOf(t *testing.T, task *harness.Task) error {
	n := task.Node
	for _, pid := range harness.Find(t, func(args string) bool {
		return !strings.Contains(args, "/containerd.toml") && !strings.Contains(args, ours)
	}) {
		if n.Owns(pid) {
			args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // it may have ended
			return fmt.Errorf("process %d lives on: %q", pid, args)
		}
	}
	for _, pattern := range []string{
		filepath.Join(n.Config.RunDir, "sandboxes", "*", "*"),
		filepath.Join(n.Config.RunDir, "runsc", "*"),
		filepath.Join(n.Config.StateDir, "volumes", "*", "*"),
		filepath.Join(n.Dir, "state", "io.containerd.runtime.v2.task", "*", "*"),
	} {
		if found, err := filepath.Glob(pattern); err != nil || len(found) > 0 {
			return fmt.Errorf("left: %q (%v)", found, err)
		}
	}
	if _, err := os.Lstat(task.ShimSocket(t)); err == nil {
		return fmt.Errorf("left: the socket of the shim")
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, n.Dir+"/") {
			return fmt.Errorf("still mounted: %s", line)
		}
	}
	if bytes := task.MemoryUsage(t); bytes > 0 {
		return fmt.Errorf("the cgroup is there, with %d bytes", bytes)
	}
	return nil
}

// A containerd that was killed between Delete and Shutdown comes back to a shim
// without a task, and sends no Shutdown any more: the shim leaves by itself, and
// nothing of it stays.
func TestAShimWithoutATaskLeaves(t *testing.T) {
	t.Parallel()
	s, _ := start(t)
	service, ctx := taskapi.NewTaskClient(s.DialShim(t)), s.Node.Context(t)
	r := harness.Record(t, s.Node)
	if _, err := service.Kill(ctx, &taskapi.KillRequest{ID: s.ID, Signal: uint32(syscall.SIGKILL)}); err != nil {
		t.Fatal(err)
	}
	r.Until(t, s.ID, "exit")
	if _, err := service.Delete(ctx, &taskapi.DeleteRequest{ID: s.ID}); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, func() error { return nothingOf(t, s.Task) })
	s.Remove(t)
}
