// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package pause

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ateom/ateom/e2e/harness"
)

// A tracer counts what a shim, and all that it starts, syncs.
type tracer struct {
	cmd *exec.Cmd
	log string
}

// trace attaches strace to the task's shim.
func trace(t *testing.T, task *harness.Task, options ...string) *tracer {
	t.Helper()
	tr := &tracer{log: filepath.Join(t.TempDir(), "strace")}
	args := []string{"-f", "-y", "-e", "trace=fsync,fdatasync,syncfs,sync", "-o", tr.log, "-p", fmt.Sprint(task.Shim(t))}
	tr.cmd = exec.Command("strace", append(options, args...)...)
	stderr, err := tr.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.cmd.Start(); err != nil {
		t.Fatalf("start strace, which make test installs: %v", err)
	}
	// It says so when it is there.
	lines := bufio.NewScanner(stderr)
	for lines.Scan() && !strings.Contains(lines.Text(), "attached") {
	}
	go func() {
		for lines.Scan() { // strace must not wait for us
		}
	}()
	t.Cleanup(func() { tr.end(t) })
	return tr
}

// end detaches and returns the calls and what they were for.
func (tr *tracer) end(t *testing.T) []string {
	t.Helper()
	if tr.cmd.ProcessState == nil {
		_ = tr.cmd.Process.Signal(os.Interrupt) // it detaches, and ends with the signal
		_ = tr.cmd.Wait()
	}
	text, err := os.ReadFile(tr.log)
	if err != nil {
		t.Fatal(err)
	}
	var calls []string
	for line := range strings.Lines(string(text)) {
		if call := syncCall.FindStringSubmatch(line); call != nil {
			calls = append(calls, fmt.Sprintf("%s %s", call[1], call[2]))
		}
	}
	return calls
}

var syncCall = regexp.MustCompile(`\b(fsync|fdatasync|syncfs|sync)\((?:\d+<([^>]*)>)?`)

// TestSyncsAreCounted holds docs/state.md to what is synced in each verb. Of a
// Resume only the shim can be watched: gVisor, which traces processes itself, does not
// start under strace.
func TestSyncsAreCounted(t *testing.T) {
	n := harness.NewNode(t, harness.Config{})
	store := t.TempDir()
	task := n.Run(t, harness.Container{
		Args: []string{"sh", "-c", "echo ready; sleep 1000"},
		Annotations: map[string]string{
			"ateom.dev/durable-dirs": `[{"name":"home","mountPath":"/home/agent"},{"name":"work","mountPath":"/work"}]`,
		},
	})
	task.AwaitLog(t, "ready")
	for _, step := range []struct {
		args   []string
		follow []string       // of strace
		want   map[string]int // calls below the state directory
	}{
		{[]string{"commit", "--scope", "Full", "--store", "file://" + store}, nil, map[string]int{}},
		{[]string{"commit", "--scope", "Data", "--store", "file://" + store}, nil, map[string]int{}},
		{[]string{"pause"}, nil, map[string]int{"fsync": 16, "syncfs": 2}},
		{[]string{"resume"}, []string{"--detach-on=execve"}, map[string]int{}},
		{[]string{"pause"}, nil, map[string]int{"fsync": 17, "syncfs": 2}},
		{[]string{"commit", "--scope", "Full", "--store", "file://" + store}, nil, map[string]int{}},
	} {
		tr := trace(t, task, step.follow...)
		n.Ateom(t, append(append([]string{"tasks"}, step.args...), task.ID)...)
		got := map[string]int{}
		calls := tr.end(t)
		for _, call := range calls {
			if name, path, _ := strings.Cut(call, " "); strings.HasPrefix(path, n.Config.StateDir) || path == "" {
				got[name]++
			}
		}
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s\nin all:\n%s", step.args[0], diff, strings.Join(calls, "\n"))
		}
	}
}
