// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/ttrpc"
)

// Processes lists the processes on the host that belong to the task's sandbox:
// runsc's sandbox and gofers, not the shim.
func (task *Task) Processes(t testing.TB) []string {
	t.Helper()
	all, err := processes(here)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, p := range all {
		if _, args, _ := strings.Cut(p, ": "); strings.HasPrefix(args, "runsc") && strings.Contains(args, task.ID) {
			out = append(out, p)
		}
	}
	return out
}

// AwaitNoProcesses waits until there are no Processes any more.
func (task *Task) AwaitNoProcesses(t testing.TB) {
	t.Helper()
	Eventually(t, func() error {
		if left := task.Processes(t); len(left) > 0 {
			return fmt.Errorf("processes left: %q", left)
		}
		return nil
	})
}

// Shims lists the shim processes that were started for the task.
func (task *Task) Shims(t testing.TB) []string {
	t.Helper()
	all, err := processes(here)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, p := range all {
		if strings.Contains(p, "containerd-shim-ateom-v1") && strings.Contains(p, "-id "+task.ID+" ") {
			out = append(out, p)
		}
	}
	return out
}

// Shim returns the process of the task's shim, of which there must be one.
func (task *Task) Shim(t testing.TB) (pid int) {
	t.Helper()
	shims := task.Shims(t)
	if len(shims) != 1 {
		t.Fatalf("shims of %s: %q", task.ID, shims)
	}
	number, _, _ := strings.Cut(shims[0], ":")
	pid, err := strconv.Atoi(number)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// KillShim kills the task's shim.
func (task *Task) KillShim(t testing.TB) {
	t.Helper()
	if err := syscall.Kill(task.Shim(t), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// DialShim connects to the task's shim past containerd, until the test ends.
func (task *Task) DialShim(t testing.TB) *ttrpc.Client {
	t.Helper()
	conn, err := net.Dial("unix", task.ShimSocket(t))
	if err != nil {
		t.Fatal(err)
	}
	c := ttrpc.NewClient(conn)
	t.Cleanup(func() { c.Close() })
	return c
}

// Find lists the ids of the processes whose command line matches.
func Find(t testing.TB, matches func(args string) bool) []int {
	t.Helper()
	all, err := processes(here)
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	for _, p := range all {
		number, args, _ := strings.Cut(p, ": ")
		if !matches(args) {
			continue
		}
		pid, err := strconv.Atoi(number)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, pid)
	}
	return out
}

// Owns says whether a process was started for the node: its arguments or its
// environment tell.
func (n *Node) Owns(pid int) bool {
	for _, file := range []string{"cmdline", "environ"} {
		b, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(pid), file))
		if err == nil && bytes.Contains(b, []byte(n.Dir+"/")) {
			return true
		}
	}
	return false
}
