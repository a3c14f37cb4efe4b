// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package k8s

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/e2e/k8s/cluster"
)

// The manifests of deploy/ put the runtime on a node that has nothing of it, an
// operator uses it with kubectl, and another manifest takes it off again.
func TestTheManifestsInstallTheRuntimeAndTakeItOff(t *testing.T) {
	k := theCluster(t)
	if err := k.Uninstall(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Install(); err != nil {
			t.Error(err)
		}
	})
	if err := k.StartControllers(); err != nil {
		t.Fatal(err)
	}
	importNodeImage(t, k)
	before := nodeFiles(t)

	// containerd does not come up again: everything is as before.
	k.Apply(t, manifests(t, k, "base", "/bin/false", "install"))
	k.MakeNamespace(t, agentNamespace)
	harness.Eventually(t, func() error {
		log := k.Try(t, "logs", "-n", agentNamespace, "-l", agentLabel, "-c", "installer").Stdout
		if !strings.Contains(log, "restarting containerd") {
			return fmt.Errorf("the installer has not tried: %s", log)
		}
		return nil
	})
	harness.Eventually(t, func() error {
		if diff := cmp.Diff(before, nodeFiles(t)); diff != "" {
			return fmt.Errorf("after an install that failed (-want +got):\n%s", diff)
		}
		return nil
	})

	install := manifests(t, k, "base", cluster.RestartCommand, "install")
	k.Apply(t, install)
	// The pod that fails is replaced when its turn comes, not at once.
	k.Kubectl(t, "delete", "pods", "-n", agentNamespace, "-l", agentLabel, "--now", "--wait")
	awaitAgent(t, k)
	restarts := k.Restarts()

	p := runAgent(t, k, "agent", nil)
	first := p.ask(t)
	k.Kubectl(t, "exec", "agent", "-c", "redis", "--", "redis-cli", "set", "k", "v")
	full := operate(t, k, p)
	now := p.ask(t)
	first.Counter++
	if diff := cmp.Diff(first, now); diff != "" {
		t.Errorf("the service after its sleep (-want +got):\n%s", diff)
	}
	k.Kubectl(t, "delete", "pod", "agent", "--wait")
	again := runAgent(t, k, "again", map[string]string{"ateom.dev/restore-from": full, "ateom.dev/store": "dir"})
	now = again.ask(t)
	first.Files["/etc/about/name"] = "again"
	if diff := cmp.Diff(first, now); diff != "" {
		t.Errorf("the service in the new pod (-want +got):\n%s", diff)
	}
	k.Kubectl(t, "delete", "pod", "again", "--wait")

	// An installation that is up to date restarts nothing.
	k.Kubectl(t, "delete", "pods", "-n", agentNamespace, "-l", agentLabel, "--now", "--wait")
	awaitAgent(t, k)
	if n := k.Restarts(); n != restarts {
		t.Errorf("containerd was restarted %d times by an installation that was up to date", n-restarts)
	}

	k.Apply(t, manifests(t, k, "overlays/uninstall", cluster.RestartCommand, "uninstall"))
	k.Kubectl(t, "rollout", "status", "-n", agentNamespace, "daemonset/ateom-node", "--timeout=50s")
	harness.Eventually(t, func() error {
		if diff := cmp.Diff(before, nodeFiles(t)); diff != "" {
			return fmt.Errorf("the node after the uninstall (-want +got):\n%s", diff)
		}
		return nil
	})
}

const (
	agentNamespace = "ateom-system"
	agentLabel     = "app.kubernetes.io/name=ateom-node"
)

// manifests renders deploy/'s kustomization with this node's way to restart
// containerd, and its configuration.
func manifests(t *testing.T, k *cluster.Cluster, base, restart, command string) string {
	t.Helper()
	top, err := harness.Top()
	if err != nil {
		t.Fatal(err)
	}
	// Kustomize wants relative paths.
	dir, err := os.MkdirTemp(filepath.Join(top, "dist"), "overlay-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	config := filepath.Join(dir, "config.toml")
	if err := k.Node.Config.Write(config); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`
resources: [../../deploy/%s]
patches:
- target: {kind: Secret, name: ateom-config}
  patch: |
    - {op: replace, path: /stringData/config.toml, value: %q}
- target: {kind: DaemonSet, name: ateom-node}
  patch: |
    - op: replace
      path: /spec/template/spec/initContainers/0/command
      value: [/opt/ateom/bin/installer, --root=/host, --config=/config/config.toml, --restart=%s, %s]
`, base, harness.ReadFile(t, config), restart, command)
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return k.Kubectl(t, "kustomize", dir)
}

// importNodeImage gives the node the image of its pod.
func importNodeImage(t *testing.T, k *cluster.Cluster) {
	t.Helper()
	top, err := harness.Top()
	if err != nil {
		t.Fatal(err)
	}
	k.Node.Ctr(t, "images", "import", filepath.Join(top, "dist", "ateom-node.tar"))
}

// awaitAgent waits until the node's pod has installed the runtime and serves.
func awaitAgent(t *testing.T, k *cluster.Cluster) {
	t.Helper()
	r := k.Try(t, "rollout", "status", "-n", agentNamespace, "daemonset/ateom-node", "--timeout=50s")
	if r.Code != 0 {
		t.Fatalf("the node's pod does not come up: %s%s\n%s\n%s", r.Stdout, r.Stderr,
			k.Kubectl(t, "describe", "pods", "-n", agentNamespace), k.Kubectl(t, "logs", "-n", agentNamespace, "-l", agentLabel, "-c", "installer"))
	}
}

// operate does with a pod what operators do, by kubectl ateom, and returns the
// id of a Full snapshot. Who is no operator is refused.
func operate(t *testing.T, k *cluster.Cluster, p *pod) string {
	t.Helper()
	operator, stranger := k.User(t, "operator"), k.User(t, "stranger")
	k.Apply(t, `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: operator}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: ateom-operator}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: operator}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: operator, namespace: ateom-system}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: ateom-operator}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: operator}]
`)
	if out, err := plugin(t, stranger, "pause", p.name); err == nil || !strings.Contains(out, "forbidden") {
		t.Errorf("a stranger pauses a pod: %v\n%s", err, out)
	}
	do := func(want string, args ...string) string {
		t.Helper()
		out, err := plugin(t, operator, args...)
		if err != nil || !strings.Contains(out, want) {
			t.Fatalf("kubectl ateom %q: %v, want %q in:\n%s\n%s", args, err, want, out, k.Logs())
		}
		return out
	}
	do("agent is running", "status", p.name)
	full := harness.LastLine(do("committed agent", "commit", "--scope", "Full", p.name))
	data := harness.LastLine(do("committed agent", "commit", "--scope", "Data", p.name))
	list := do(full, "snapshots")
	if !strings.Contains(list, data) {
		t.Errorf("snapshot %s is not on the list:\n%s", data, list)
	}
	awake := p.memory(t)
	do("paused agent", "pause", p.name)
	if asleep := p.memory(t); asleep > awake/10 {
		t.Errorf("the sandbox used %d bytes and uses %d while it is paused", awake, asleep)
	}
	do("agent is paused", "status", p.name)
	do("resumed agent", "resume", p.name)
	metrics := k.Kubectl(t, "get", "--raw", "/api/v1/namespaces/"+agentNamespace+"/pods/"+agentPodName(t, k)+":9464/proxy/metrics")
	if !strings.Contains(metrics, `ateom_verb_duration_seconds_count`) {
		t.Errorf("the agent's metrics do not tell of verbs:\n%s", metrics)
	}
	return full
}

func agentPodName(t *testing.T, k *cluster.Cluster) string {
	t.Helper()
	return k.Kubectl(t, "get", "pods", "-n", agentNamespace, "-l", agentLabel, "-o", "jsonpath={.items[0].metadata.name}")
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

// nodeFiles is what the node has where the installer writes: each path with its
// mode and the digest of its content.
func nodeFiles(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, root := range []string{"/etc/ateom", "/etc/containerd", "/opt"} {
		err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err == nil {
				files[path], err = describe(path, e)
			}
			if os.IsNotExist(err) {
				delete(files, path) // it may be on its way out
				err = nil
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func describe(path string, e fs.DirEntry) (string, error) {
	fi, err := e.Info()
	if err != nil {
		return "", err
	}
	if !fi.Mode().IsRegular() {
		return fi.Mode().String(), nil
	}
	b, err := os.ReadFile(path)
	return fmt.Sprintf("%s %x", fi.Mode(), sha256.Sum256(b)), err
}
