// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"strings"
	"testing"

	"github.com/ateom/ateom/cmd/ateom-agent/traces/tracestest"
	"github.com/ateom/ateom/e2e/harness"
)

// A new task from a snapshot is one verb, from its Create to the end of its Start;
// one that is refused is counted by its cause.
func TestTheNodeTellsOfTasksFromSnapshots(t *testing.T) {
	t.Parallel()
	n := harness.NewNode(t, harness.Config{})
	c := tracestest.New(t)
	a := startAgent(t, n, c)
	base := harness.Container{Args: []string{"sleep", "1000"}, Annotations: map[string]string{
		"ateom.dev/durable-dirs": `[{"name":"home","mountPath":"/home"}]`, "ateom.dev/store": "dir",
	}}
	first := n.Run(t, base)
	from := func(id string, args ...string) harness.Container {
		c := base
		c.Args = args
		c.Annotations = map[string]string{"ateom.dev/restore-from": id}
		for k, v := range base.Annotations {
			c.Annotations[k] = v
		}
		return c
	}
	full := harness.LastLine(n.Ateom(t, "tasks", "commit", "--scope", "Full", first.ID))
	data := harness.LastLine(n.Ateom(t, "tasks", "commit", "--scope", "Data", first.ID))
	for id, second := range map[string]string{full: "restore", data: "start"} {
		task := n.Run(t, from(id, "sleep", "1000"))
		lines, _ := logLines(t, n, task.ID)
		if len(lines) != 1 || lines[0] != "Restore" {
			t.Errorf("the log has the lines %v of the task from %s, want one Restore", lines, id)
		}
		line := verbOf(t, n, task.ID)
		t.Log(line)
		for _, phase := range []string{"prepare", "manifest", "create", "fetch", "between", second, "ready"} {
			if !strings.Contains(line, " "+phase+"=") {
				t.Errorf("the line of the task from %s has no %s: %s", id, phase, line)
			}
		}
	}
	for _, refused := range []harness.Container{from(full, "sleep", "2000"), from("01jd0000090000000000000000", "sleep", "1000")} {
		if _, err := n.TryRun(t, refused); err == nil {
			t.Errorf("%v was started", refused.Annotations)
		}
	}
	a.want(t, `ateom_verb_duration_seconds_count{verb="Restore"} 2`,
		`ateom_verb_phase_duration_seconds_count{phase="fetch",verb="Restore"} 2`,
		`ateom_verb_phase_duration_seconds_count{phase="create",verb="Restore"} 2`,
		`ateom_verb_failures_total{cause="failed_precondition",verb="Restore"} 1`,
		`ateom_verb_failures_total{cause="not_found",verb="Restore"} 1`)
	a.stop(t)
	restores := 0
	for _, s := range c.Roots() {
		if s.GetName() == "Restore" {
			restores++
		}
	}
	if restores != 4 {
		t.Errorf("there are %d spans of a Restore, want 4", restores)
	}
}

// verbOf is the log's line of a sandbox's only verb.
func verbOf(t *testing.T, n *harness.Node, sandbox string) string {
	t.Helper()
	for line := range strings.Lines(harness.ReadFile(t, n.LogPath())) {
		if verbLine.MatchString(line) && strings.Contains(line, "sandbox="+sandbox) {
			return line
		}
	}
	return ""
}
