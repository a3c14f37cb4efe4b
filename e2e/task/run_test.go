// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package task

import (
	"strings"
	"testing"

	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/e2e/images"
)

func TestCtrRunPrintsTheOutputAndEndsWithTheExitCode(t *testing.T) {
	n := harness.Shared(t)
	n.Want(t, images.Busybox)
	for _, c := range []struct {
		name, script, stdin string
		stdout, stderr      string
		code                int
	}{
		{"success", "echo out; echo err >&2", "", "out\n", "err\n", 0},
		{"failure", "echo out; exit 42", "", "out\n", "", 42},
		{"signal", "kill -KILL $$", "", "", "", 137},
		{"stdin to its end", "cat; echo done", "one\ntwo\n", "one\ntwo\ndone\n", "", 0},
		{"empty stdin", "cat; echo done", "", "done\n", "", 0},
		{"much output", "seq 1 20000", "", numbers(20000), "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			// ctr does not pass on an end of its stdin that comes before the task.
			stdin := &lateReader{text: strings.NewReader(c.stdin), started: make(chan struct{})}
			r := n.Do(t, harness.Command{
				Program: "ctr", Stdin: stdin, Watch: stdin,
				Args: []string{"run", "--rm", "--runtime", harness.Runtime, images.Busybox.Ref, harness.NewID(t), "sh", "-c", "echo ready; " + c.script},
			})
			c.stdout = "ready\n" + c.stdout
			if r.Stdout != c.stdout || r.Stderr != c.stderr || r.Code != c.code {
				t.Errorf("output %.200q, errors %.200q, exit code %d, want %.200q, %.200q, %d", r.Stdout, r.Stderr, r.Code, c.stdout, c.stderr, c.code)
			}
		})
	}
}
