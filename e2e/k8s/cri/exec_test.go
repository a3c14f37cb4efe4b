// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"strings"
	"testing"
	"time"

	criv1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/ateom/ateom/e2e/harness"
)

var execs = []check{
	{"a command runs to its end", execEnds},
	{"a command that takes too long is ended", execIsBounded},
}

// wantText fails the test unless err says all of texts.
func wantText(t *testing.T, what string, err error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error, want one that says %q", what, texts)
		return
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v, want %q in it", what, err, text)
		}
	}
}

func execEnds(t *testing.T, n *node) {
	c := n.run(t).start(t, "app", "sleep 1000", func(c *criv1.ContainerConfig) {
		c.Envs = []*criv1.KeyValue{{Key: "OF", Value: []byte("the container")}}
		c.WorkingDir = "/tmp"
	})
	for _, e := range []struct {
		script, stdout, stderr string
		code                   int32
	}{
		{"echo out; echo err >&2", "out\n", "err\n", 0},
		{"exit 7", "", "", 7},
		{"kill -9 $$", "", "", 137},
		{"echo $OF; pwd", "the container\n/tmp\n", "", 0},
		{"head -c 1000000 /dev/zero | tr '\\0' x", strings.Repeat("x", 1000000), "", 0},
	} {
		a := call(t, n, n.ExecSync, &criv1.ExecSyncRequest{ContainerId: c.id, Cmd: []string{"sh", "-c", e.script}, Timeout: int64(harness.Limit.Seconds())})
		if string(a.Stdout) != e.stdout || string(a.Stderr) != e.stderr || a.ExitCode != e.code {
			t.Errorf("%q: code %d, %.100q, %.100q", e.script, a.ExitCode, a.Stdout, a.Stderr)
		}
	}
	_, err := n.ExecSync(bounded(t), &criv1.ExecSyncRequest{ContainerId: c.id, Cmd: []string{"/no/such/program"}})
	wantText(t, "a program that is not there", err, "/no/such/program", "no such file")
	c.stop(t, 0)
	_, err = n.ExecSync(bounded(t), &criv1.ExecSyncRequest{ContainerId: c.id, Cmd: []string{"true"}})
	wantText(t, "a container that has ended", err, "EXITED")
}

func execIsBounded(t *testing.T, n *node) {
	c := n.run(t).start(t, "app", "sleep 1000")
	began := time.Now()
	_, err := n.ExecSync(bounded(t), &criv1.ExecSyncRequest{ContainerId: c.id, Cmd: []string{"sleep", "999"}, Timeout: 1})
	wantText(t, "a command that takes too long", err, "timeout 1s exceeded")
	if took := time.Since(began); took > harness.Limit/2 {
		t.Errorf("it took %s", took)
	}
	if left := c.sh(t, "ps | grep '[s]leep 999' || true"); left != "" {
		t.Errorf("it runs on: %s", left)
	}
}
