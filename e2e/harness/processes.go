// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
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

// Find lists the ids of the processes whose command line begins with a word.
func Find(t testing.TB, word string) []int {
	t.Helper()
	all, err := processes(here)
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	for _, p := range all {
		number, args, _ := strings.Cut(p, ": ")
		if !strings.HasPrefix(args, word) {
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

// Owns says whether a process was started for the task's node.
func (task *Task) Owns(pid int) bool {
	args, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(pid), "cmdline"))
	return err == nil && bytes.Contains(args, []byte(task.Node.Config.RunDir+"/"))
}
