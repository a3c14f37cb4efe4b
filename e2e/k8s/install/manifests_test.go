// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/e2e/k8s/cluster"
)

const agentNamespace = "ateom-system"

// The API server takes every kustomization of deploy/, and no field that it
// does not know.
func TestEveryKustomizationIsValid(t *testing.T) {
	k := shared.Cluster(t)
	applyNamespace(t, k)
	overlays, err := filepath.Glob(deployed(t, "overlays", "*"))
	if err != nil || len(overlays) < 5 {
		t.Fatalf("find overlays: %q, %v", overlays, err)
	}
	for _, dir := range append(overlays, deployed(t, "base")) {
		t.Run(filepath.Base(dir), func(t *testing.T) { wantValid(t, k, k.Kubectl(t, "kustomize", dir)) })
	}
	wrong := strings.Replace(k.Kubectl(t, "kustomize", deployed(t, "base")), "hostPID:", "hostPIDs:", 1)
	if r := k.DryRun(t, wrong); r.Code == 0 || !strings.Contains(r.Stderr, `unknown field "spec.template.spec.hostPIDs"`) {
		t.Errorf("a field that nobody knows was taken: %s%s", r.Stdout, r.Stderr)
	}
}

// The chart makes the objects that the kustomization makes, but for the
// namespace, which helm makes itself.
func TestTheChartMakesTheSameObjects(t *testing.T) {
	k := shared.Cluster(t)
	applyNamespace(t, k)
	chart := deployed(t, "helm", "ateom")
	helm(t, "lint", "--strict", chart)
	templates := helm(t, "template", "ateom", chart, "--namespace", agentNamespace)
	wantValid(t, k, templates)

	want := objects(t, k.Kubectl(t, "kustomize", deployed(t, "base")))
	delete(want, "Namespace "+agentNamespace)
	if diff := cmp.Diff(want, objects(t, templates)); diff != "" {
		t.Errorf("the chart's objects (-kustomize +helm):\n%s", diff)
	}

	const image, config = "registry.test/node:1", "default-store = \"prod\"\n"
	values := filepath.Join(t.TempDir(), "values.yaml")
	text, err := json.Marshal(map[string]string{"image": image, "config": config})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(values, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range want["DaemonSet ateom-system/ateom-node"].containers() {
		c["image"] = image
	}
	want["Secret ateom-system/ateom-config"] = object{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "ateom-config", "namespace": agentNamespace},
		"stringData": map[string]any{"config.toml": config},
	}
	if diff := cmp.Diff(want, objects(t, helm(t, "template", "ateom", chart, "--namespace", agentNamespace, "--values", values))); diff != "" {
		t.Errorf("the chart's objects with values of an administrator (-want +got):\n%s", diff)
	}
}

// applyNamespace makes the namespace of the manifests, which a dry run does not.
func applyNamespace(t *testing.T, k *cluster.Cluster) {
	t.Helper()
	k.Kubectl(t, "apply", "-f", deployed(t, "base", "namespace.yaml"))
}

// deployed is a path below deploy/.
func deployed(t *testing.T, names ...string) string {
	t.Helper()
	top, err := harness.Top()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(append([]string{top, "deploy"}, names...)...)
}

// wantValid fails the test unless the API server takes all of the objects.
func wantValid(t *testing.T, k *cluster.Cluster, manifests string) {
	t.Helper()
	r := k.DryRun(t, manifests)
	taken, want := strings.Count(r.Stdout, "(server dry run)"), len(objects(t, manifests))
	if r.Code != 0 || r.Stderr != "" || taken != want || want == 0 {
		t.Errorf("the API server takes %d of %d objects:\n%s%s", taken, want, r.Stdout, r.Stderr)
	}
}

// helm runs Helm, which must succeed, and returns what it prints.
func helm(t *testing.T, args ...string) string {
	t.Helper()
	path, err := harness.Program("helm")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), harness.Limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "KUBECONFIG=/nowhere")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("helm %q: %v\n%s%s", args, err, stdout.String(), stderr.String())
	}
	return stdout.String()
}

// An object of Kubernetes.
type object map[string]any

// containers are those of an object that makes pods.
func (o object) containers() []object {
	var out []object
	spec := object(o["spec"].(map[string]any))["template"].(map[string]any)["spec"].(map[string]any)
	for _, list := range []string{"initContainers", "containers"} {
		for _, c := range spec[list].([]any) {
			out = append(out, c.(map[string]any))
		}
	}
	return out
}

// objects decodes manifests: each object under its kind, namespace and name.
func objects(t *testing.T, manifests string) map[string]object {
	t.Helper()
	found := map[string]object{}
	for _, text := range strings.Split("\n"+manifests, "\n---\n") {
		var o object
		if err := yaml.UnmarshalStrict([]byte(text+"\n"), &o); err != nil {
			t.Fatalf("decode an object: %v\n%s", err, text)
		}
		if o == nil {
			continue // nothing but comments
		}
		meta, _ := o["metadata"].(map[string]any)
		name := fmt.Sprint(meta["name"])
		if ns, ok := meta["namespace"]; ok {
			name = fmt.Sprint(ns, "/", name)
		}
		found[fmt.Sprint(o["kind"], " ", name)] = o
	}
	return found
}
