// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ateom/ateom/cmd/wire"
	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/e2e/k8s/cluster"
)

// operate does with a pod of a Deployment what operators do, by kubectl ateom.
// Who is no operator, or half of one, is refused.
func operate(t *testing.T, k *cluster.Cluster, servers map[string]*server) {
	t.Helper()
	s := servers[teamA]
	operator, stranger := account(t, k, agentNamespace, "operator"), account(t, k, teamAB, "stranger")
	for _, verb := range []string{"status", "pause", "resume", "commit"} {
		wantForbidden(t, stranger, verb, "-n", teamA, s.name)
	}
	wantForbidden(t, stranger, "snapshots", "-n", teamA)
	k.Kubectl(t, "create", "clusterrolebinding", "ateom-seers", "--clusterrole=ateom-operator", "--serviceaccount="+agentNamespace+":operator", "--serviceaccount="+teamAB+":stranger")
	t.Cleanup(func() { k.Kubectl(t, "delete", "clusterrolebinding", "ateom-seers") })
	k.Kubectl(t, "create", "rolebinding", "ateom-operators", "-n", agentNamespace, "--role=ateom-operator", "--serviceaccount="+agentNamespace+":operator")
	// To see pods is not to reach their agents.
	wantForbidden(t, stranger, "pause", "-n", teamA, s.name)
	wantNoWayPastRBAC(t, k)

	do := func(want string, args ...string) string {
		t.Helper()
		out, err := plugin(t, operator, args...)
		if err != nil || !strings.Contains(out, want) {
			t.Fatalf("kubectl ateom %q: %v, want %q in:\n%s\n%s", args, err, want, out, k.Logs())
		}
		t.Logf("kubectl ateom %s\n%s", strings.Join(args, " "), out)
		return out
	}
	do(s.name+" is running", "status", "-n", teamA, s.name)
	for _, s := range servers {
		s.full = harness.LastLine(do("committed "+s.name, "commit", "-n", s.namespace, "--scope", "Full", s.name))
	}
	data := harness.LastLine(do("committed "+s.name, "commit", "-n", teamA, "--scope", "Data", s.name))
	do("paused "+s.name, "pause", "-n", teamA, s.name)
	do(s.name+" is paused", "status", "-n", teamA, s.name)
	k.Kubectl(t, "rollout", "status", "-n", teamA, "deployment/web", "--timeout=1s") // it is as available as before
	// Another build of runsc takes the place of the one that runs and sleeps.
	if err := k.Upgrade(map[string]string{"runsc": "runsc-other", "gvisor-bin/gvisor_sentry": "gvisor_sentry-other"}); err != nil {
		t.Fatal(err)
	}
	do("resumed "+s.name, "resume", "-n", teamA, s.name)
	s.wantMemory(t)
	awake := servers[teamAB]
	do("paused "+awake.name, "pause", "-n", teamAB, awake.name)
	do("resumed "+awake.name, "resume", "-n", teamAB, awake.name)
	awake.wantMemory(t)

	if list := do(s.full, "snapshots", "-n", teamA); !strings.Contains(list, data) || strings.Contains(list, servers[teamAB].full) {
		t.Errorf("the snapshots of %s:\n%s", teamA, list)
	}
	if list := do(servers[teamAB].full, "snapshots", "-n", teamAB); strings.Contains(list, s.full) {
		t.Errorf("the snapshots of %s:\n%s", teamAB, list)
	}
	for _, name := range []string{"..", teamA + "/../" + teamAB, "dir/" + teamA} {
		if out, err := plugin(t, operator, "snapshots", "-n", teamAB, "--store", name); err == nil || strings.Contains(out, s.full) {
			t.Errorf("snapshots of store %q: %v\n%s", name, err, out)
		}
	}
	if metrics := proxied(t, k, "9464", "metrics"); !strings.Contains(metrics.Stdout, "ateom_verb_duration_seconds_count") {
		t.Errorf("the agent's metrics do not tell of verbs:\n%s%s", metrics.Stdout, metrics.Stderr)
	}
}

// wantNoWayPastRBAC fails the test if the agent's verbs can be reached through
// the API server's proxy, which the pods' network could be as well.
func wantNoWayPastRBAC(t *testing.T, k *cluster.Cluster) {
	t.Helper()
	r := proxied(t, k, wire.VerbsPort, strings.TrimPrefix(wire.SnapshotsPath(teamA), "/"))
	if r.Code == 0 || !strings.Contains(r.Stderr, "refused") {
		t.Errorf("the agent's verbs are served to the pods' network: %s%s", r.Stdout, r.Stderr)
	}
}

// proxied asks the agent through the API server.
func proxied(t *testing.T, k *cluster.Cluster, port, path string) harness.Result {
	t.Helper()
	name := k.Kubectl(t, "get", "pods", "-n", agentNamespace, "-l", agentLabel, "-o", "jsonpath={.items[0].metadata.name}")
	return k.Try(t, "get", "--raw", "/api/v1/namespaces/"+agentNamespace+"/pods/"+name+":"+port+"/proxy/"+path)
}

// account makes a ServiceAccount that has no rights yet, and returns the path
// of its kubeconfig.
func account(t *testing.T, k *cluster.Cluster, namespace, name string) string {
	t.Helper()
	k.Kubectl(t, "create", "serviceaccount", name, "-n", namespace)
	token := strings.TrimSpace(k.Kubectl(t, "create", "token", name, "-n", namespace))
	path := filepath.Join(t.TempDir(), name+".kubeconfig")
	if err := os.WriteFile(path, []byte(harness.ReadFile(t, k.Kubeconfig)), 0o600); err != nil {
		t.Fatal(err)
	}
	k.Kubectl(t, "--kubeconfig", path, "config", "set-credentials", name, "--token="+token)
	k.Kubectl(t, "--kubeconfig", path, "config", "set-context", "--current", "--user="+name)
	return path
}

// wantForbidden fails the test unless the API server refuses what the plugin
// asks of it for somebody.
func wantForbidden(t *testing.T, kubeconfig string, args ...string) {
	t.Helper()
	if out, err := plugin(t, kubeconfig, args...); err == nil || !strings.Contains(out, "is forbidden") {
		t.Errorf("kubectl ateom %q of a stranger: %v\n%s", args, err, out)
	}
}

// plugin runs kubectl ateom as somebody.
func plugin(t *testing.T, kubeconfig string, args ...string) (string, error) {
	t.Helper()
	path, err := harness.Program("kubectl-ateom")
	if err != nil {
		t.Fatal(err)
	}
	kubectl, err := harness.Program("kubectl")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), harness.Limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(kubectl)+":"+os.Getenv("PATH"), "KUBECONFIG="+kubeconfig)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	return out.String(), err
}
