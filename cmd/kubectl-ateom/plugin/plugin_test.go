// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// run runs the plugin with a kubectl that notes its arguments and fails; a real
// one is in e2e/k8s/install.
func run(t *testing.T, args ...string) (code int, stderr, asked string) {
	t.Helper()
	return runWith(t, "", args...)
}

// runWith is run with a kubectl that knows a pod first, in JSON.
func runWith(t *testing.T, pod string, args ...string) (code int, stderr, asked string) {
	t.Helper()
	dir := t.TempDir()
	calls, known := filepath.Join(dir, "calls"), filepath.Join(dir, "pod")
	if pod != "" {
		if err := os.WriteFile(known, []byte(pod), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	script := "#!/bin/sh\necho \"$*\" >> " + calls + "\n[ \"$1 $2\" = 'get pod' ] && cat " + known + " 2>/dev/null && exit\necho sorry >&2\nexit 1\n"
	if err := os.WriteFile(filepath.Join(dir, "kubectl"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	var out, errs bytes.Buffer
	code = Run(t.Context(), "test", append([]string{"kubectl-ateom"}, args...), &out, &errs)
	b, err := os.ReadFile(calls)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return code, errs.String(), strings.TrimSpace(string(b))
}

func TestFlagsMayStandAnywhere(t *testing.T) {
	for line, want := range map[string]string{
		"pause agent -n team-a":                             "get pod agent -o json --namespace=team-a",
		"pause -n team-a agent":                             "get pod agent -o json --namespace=team-a",
		"pause --json agent --namespace=team-a":             "get pod agent -o json --namespace=team-a",
		"commit agent --scope Full --context c":             "--context=c get pod agent -o json",
		"status agent --as me --as-group g --as-group h":    "--as=me --as-group=g --as-group=h get pod agent -o json",
		"status --user u agent --cluster c --kubeconfig /k": "--kubeconfig=/k --cluster=c --user=u get pod agent -o json",
		"resume -n a -- agent":                              "get pod agent -o json --namespace=a",
		"snapshots --as=me":                                 "--as=me config view --minify -o jsonpath={..namespace}",
	} {
		if code, stderr, asked := run(t, strings.Fields(line)...); code != 1 || asked != want {
			t.Errorf("%s: exit code %d, %s, asked kubectl %q, want %q", line, code, stderr, asked, want)
		}
	}
}

func TestAWrongCommandLineAsksNobody(t *testing.T) {
	for _, line := range []string{"pause", "pause a b", "pause a -n n b", "pause a --scope Full", "pause a --as", "resume -- --as me"} {
		if code, stderr, asked := run(t, strings.Fields(line)...); code != usageExit || asked != "" || stderr == "" {
			t.Errorf("%s: exit code %d, %q, asked kubectl %q", line, code, stderr, asked)
		}
	}
}

// Kubelet tries a container of such a pod once: one that has not started yet would
// never start.
func TestAPodThatStillStartsIsNotPausedIfItsContainersAreTriedOnce(t *testing.T) {
	const waiting, running = `{"name":"late","state":{"waiting":{"reason":"ContainerCreating"}}}`, `{"name":"app","state":{"running":{}}}`
	for _, c := range []struct {
		verb, policy, last string
		refused            bool
	}{
		{"pause", "Never", waiting, true},
		{"pause", "Never", running, false},
		{"pause", "OnFailure", waiting, false},
		{"pause", "Always", waiting, false},
		{"commit", "Never", waiting, false},
	} {
		pod := `{"metadata":{"namespace":"n"},"spec":{"nodeName":"node","restartPolicy":"` + c.policy + `"},"status":{"containerStatuses":[` + running + `,` + c.last + `]}}`
		code, stderr, asked := runWith(t, pod, c.verb, "job")
		refused := strings.Contains(stderr, "container late of pod job has not started yet")
		if code != 1 || refused != c.refused || strings.Contains(asked, "get pods") == refused { // of which one is the agent's
			t.Errorf("%s with %s: exit code %d, %s, asked kubectl %q", c.verb, c.policy, code, stderr, asked)
		}
	}
}
