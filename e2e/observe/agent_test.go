// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ateom/ateom/cmd/ateom-agent/traces/tracestest"
	"github.com/ateom/ateom/e2e/harness"
)

// An agent is a running ateom-agent.
type agent struct {
	cmd    *exec.Cmd
	client *http.Client
}

// startAgent starts the node's agent, which sends its spans to the collector.
func startAgent(t *testing.T, n *harness.Node, c *tracestest.Collector) *agent {
	t.Helper()
	binary, err := harness.Program("ateom-agent")
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(n.Dir, "agent.sock")
	a := &agent{cmd: exec.Command(binary, "serve", "--config", n.ConfigPath(), "--listen", "unix://"+socket)}
	a.cmd.Stderr = os.Stderr
	a.cmd.Env = append(os.Environ(), "OTEL_EXPORTER_OTLP_ENDPOINT="+c.HTTP, "OTEL_BSP_SCHEDULE_DELAY=20")
	a.client = &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.stop(t) })
	harness.Eventually(t, func() error { _, err := a.get("/healthz"); return err })
	return a
}

// stop ends the agent, which says with its exit code whether all went well.
func (a *agent) stop(t *testing.T) {
	if err := a.cmd.Process.Signal(os.Interrupt); errors.Is(err, os.ErrProcessDone) {
		return
	}
	if err := a.cmd.Wait(); err != nil {
		t.Errorf("the agent ended: %v", err)
	}
}

func (a *agent) get(path string) (string, error) {
	resp, err := a.client.Get("http://agent" + path)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s: %s", path, resp.Status, body)
	}
	return string(body), err
}

// want scrapes and looks for the lines.
func (a *agent) want(t *testing.T, lines ...string) {
	t.Helper()
	text, err := a.get("/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		if !strings.Contains("\n"+text, "\n"+line+"\n") {
			t.Errorf("the scrape has no %q; it has:\n%s", line, regexp.MustCompile(`(?m)^ateom_(verb_[dfs]|sand).*(_count|_total|sandboxes).*$`).FindAllString(text, -1))
		}
	}
}

// A node's verbs, good and bad, are in its metrics, its traces and its log, each
// once, whoever was restarted meanwhile.
func TestTheNodeTellsWhatHappened(t *testing.T) {
	t.Parallel()
	n := harness.NewNode(t, harness.Config{})
	c := tracestest.New(t)
	a := startAgent(t, n, c)
	a.want(t, `ateom_sandboxes{state="running"} 0`)

	// What holds a save up is seen from outside, too.
	const held = 300 * time.Millisecond
	task := n.Run(t, harness.Container{Args: []string{"sleep", "1000"}, Annotations: map[string]string{
		"ateom.dev/pre-save": fmt.Sprintf(`[{"command":["sleep","%.1f"]}]`, held.Seconds()),
	}})
	a.want(t, `ateom_sandboxes{state="running"} 1`)
	// The moments between which each verb was under way, by this clock.
	var asked, answered []time.Time
	timed := func(verb func()) {
		asked = append(asked, time.Now())
		verb()
		answered = append(answered, time.Now())
	}
	timed(func() { n.Ctr(t, "task", "pause", task.ID) })
	a.want(t, `ateom_sandboxes{state="paused"} 1`, `ateom_sandboxes{state="running"} 0`, `ateom_verb_duration_seconds_count{verb="Pause"} 1`)
	a.stop(t)
	// What happens without an agent is counted when it is back.
	timed(func() { n.Ateom(t, "tasks", "resume", task.ID) })
	timed(func() { n.Ateom(t, "tasks", "commit", "--scope", "Full", task.ID) })
	timed(func() {
		r := n.Do(t, harness.Command{Program: "ctr-ateom", Args: []string{"tasks", "commit", "--store", "s3://bucket?nonsense=1", task.ID}})
		if r.Code == 0 || !strings.Contains(r.Stderr, "s3://bucket") || !strings.Contains(r.Stderr, "nonsense") {
			t.Errorf("a commit to a store that cannot be: exit code %d: %s", r.Code, r.Stderr)
		}
	})
	a = startAgent(t, n, c)
	a.want(t, `ateom_sandboxes{state="running"} 1`,
		`ateom_verb_duration_seconds_count{verb="Resume"} 1`, `ateom_verb_duration_seconds_count{verb="Commit"} 1`,
		`ateom_verb_phase_duration_seconds_count{phase="upload",verb="Commit"} 1`,
		`ateom_verb_phase_duration_seconds_count{phase="failed",verb="Commit"} 1`,
		`ateom_verb_failures_total{cause="invalid_argument",verb="Commit"} 1`)
	if text, err := a.get("/metrics"); err != nil || strings.Contains(text, `ateom_verb_duration_seconds_count{verb="Pause"}`) {
		t.Errorf("a verb was counted by two agents, %v", err)
	}
	a.stop(t)

	want := []string{"Pause", "Resume", "Commit", "Commit"}
	holds := []bool{true, false, true, false}
	verbs, totals := logLines(t, n, task.ID)
	if diff := cmp.Diff(want, verbs); diff != "" {
		t.Fatalf("lines of the log (-want +got):\n%s", diff)
	}
	var spans []string
	for i, s := range c.Roots() {
		spans = append(spans, s.GetName())
		if i >= len(want) {
			continue
		}
		var sum, took uint64
		for _, child := range c.Children(s) {
			sum += child.GetEndTimeUnixNano() - child.GetStartTimeUnixNano()
		}
		if took = s.GetEndTimeUnixNano() - s.GetStartTimeUnixNano(); took != sum || took == 0 {
			t.Errorf("%s took %d ns and its phases %d", s.GetName(), took, sum)
		}
		start, end := time.Unix(0, int64(s.GetStartTimeUnixNano())), time.Unix(0, int64(s.GetEndTimeUnixNano()))
		if start.Before(asked[i]) || end.After(answered[i]) || holds[i] && end.Sub(start) < held {
			t.Errorf("%s was asked for at %v and answered at %v, and its span is from %v to %v", s.GetName(), asked[i], answered[i], start, end)
		}
		if totals[i] != end.Sub(start) {
			t.Errorf("%s took %s by the log and %s by its span", s.GetName(), totals[i], end.Sub(start))
		}
	}
	if diff := cmp.Diff(want, spans); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
}

var (
	verbLine = regexp.MustCompile(`msg="verb (done|failed)"`)
	field    = regexp.MustCompile(`([\w-]+)=("(?:[^"\\]|\\.)*"|\S+)`)
)

// logLines returns the verbs of a sandbox that containerd's log tells of, with their
// totals, and checks that the phases of each sum to its total.
func logLines(t *testing.T, n *harness.Node, sandbox string) (verbs []string, totals []time.Duration) {
	t.Helper()
	for _, line := range strings.Split(harness.ReadFile(t, n.LogPath()), "\n") {
		if !verbLine.MatchString(line) || !strings.Contains(line, "sandbox="+sandbox) {
			continue
		}
		var total, sum time.Duration
		for _, f := range field.FindAllStringSubmatch(line, -1) {
			switch d, err := time.ParseDuration(strings.Trim(f[2], `"`)); {
			case f[1] == "verb":
				verbs = append(verbs, f[2])
			case err != nil:
			case f[1] == "total":
				total = d
			case f[1] == "first-instruction": // a moment, no phase
			default:
				sum += d
			}
		}
		if total == 0 || total != sum {
			t.Errorf("the total is %s and the phases sum to %s: %s", total, sum, line)
		}
		totals = append(totals, total)
	}
	return verbs, totals
}

// Status has the last verbs, and how much of the memory has come.
func TestStatusTellsOfVerbsAndLoading(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	task := n.Run(t, harness.Container{Args: []string{"sleep", "1000"}})
	n.Ateom(t, "tasks", "pause", task.ID)
	if out := n.Ateom(t, "tasks", "status", "--json", task.ID); !strings.Contains(out, `"verb": "pause"`) || strings.Contains(out, `"loading"`) {
		t.Errorf("status of a paused sandbox: %s", out)
	}
	n.Ateom(t, "tasks", "resume", task.ID)
	harness.Eventually(t, func() error {
		out := n.Ateom(t, "tasks", "status", "--json", task.ID)
		for _, want := range []string{`"state": "running"`, `"verb": "pause"`, `"verb": "resume"`, `"verified":`, `"remaining": 0`, `"ended": true`, `"firstInstruction":`} {
			if !strings.Contains(out, want) {
				return fmt.Errorf("status has no %s: %s", want, out)
			}
		}
		return nil
	})
	human := n.Ateom(t, "tasks", "status", task.ID)
	for _, want := range []string{"last pause", "last resume", "loaded (asked", "first instruction within "} {
		if !strings.Contains(human, want) {
			t.Errorf("status has no %q:\n%s", want, human)
		}
	}
}
