// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	criv1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/ateom/ateom/e2e/harness"
)

var logs = []check{
	{"a log has the form of CRI", logHasItsForm},
	{"a log is opened anew", logIsReopened},
}

// logLine is a line of a log (kubernetes: pkg/kubelet/kuberuntime/logs).
var logLine = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d) (stdout|stderr) ([FP]) (.*)$`)

func logHasItsForm(t *testing.T, n *node) {
	// One line is longer than what containerd takes at a time (16 KiB), the last has no end.
	c := n.run(t).start(t, "app", "echo one; echo two >&2; head -c 20000 /dev/zero | tr '\\0' x; echo; printf three")
	c.awaitEnd(t)
	got := map[string]string{}
	var tags []string
	for line := range strings.Lines(harness.ReadFile(t, c.log)) {
		m := logLine.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil {
			t.Fatalf("a line of the log: %.200q", line)
		}
		tags = append(tags, m[3])
		got[m[2]] += m[4]
		if m[3] == "F" {
			got[m[2]] += "\n"
		}
	}
	if want := "one\n" + strings.Repeat("x", 20000) + "\nthree"; strings.TrimSuffix(got["stdout"], "\n") != want || got["stderr"] != "two\n" {
		t.Errorf("the log has %.60q… (%d bytes) and %q", got["stdout"], len(got["stdout"]), got["stderr"])
	}
	if !strings.Contains(strings.Join(tags, ""), "P") {
		t.Errorf("no line is marked as partial: %q", tags)
	}
}

func logIsReopened(t *testing.T, n *node) {
	c := n.run(t).start(t, "app", "i=0; while :; do echo $i; i=$((i+1)); sleep 0.02; done")
	c.awaitLine(t, "3")
	old := c.log + ".old"
	if err := os.Rename(c.log, old); err != nil {
		t.Fatal(err)
	}
	call(t, n, n.ReopenContainerLog, &criv1.ReopenContainerLogRequest{ContainerId: c.id})
	harness.Eventually(t, func() error {
		if len(c.lines(t)) < 3 {
			return errors.New("nothing is written into the new log")
		}
		return nil
	})
	c.stop(t, 0)
	all := (&container{c.pod, c.id, old}).lines(t)
	all = append(all, c.lines(t)...)
	for i, line := range all {
		if line != fmt.Sprint(i) {
			t.Fatalf("line %d of both logs is %q", i, line)
		}
	}
	if _, err := n.ReopenContainerLog(bounded(t), &criv1.ReopenContainerLogRequest{ContainerId: c.id}); err == nil {
		t.Error("the log of a container that has ended was opened anew")
	}
}
