// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ateom/ateom/e2e/harness"
)

// The chart makes the objects that the kustomizations make, but for the
// namespace, which helm makes itself.
func TestTheChartMakesTheSameObjects(t *testing.T) {
	k := shared.Cluster(t)
	applyNamespace(t, k)
	chart := deployed(t, "helm", "ateom")
	helm(t, "lint", "--strict", chart)
	render := func(args ...string) string {
		return helm(t, append([]string{"template", "ateom", chart, "--namespace", agentNamespace}, args...)...)
	}
	for dir, args := range map[string][]string{
		"base":                   nil,
		"overlays/uninstall":     {"--set", "uninstall=true"},
		"overlays/k3s":           {"--values", filepath.Join(chart, "values-k3s.yaml")},
		"overlays/uninstall-k3s": {"--values", filepath.Join(chart, "values-k3s.yaml"), "--set", "uninstall=true"},
		"overlays/gke":           {"--values", filepath.Join(chart, "values-gke.yaml")},
		"overlays/uninstall-gke": {"--values", filepath.Join(chart, "values-gke.yaml"), "--set", "uninstall=true"},
	} {
		t.Run(dir, func(t *testing.T) {
			templates := render(args...)
			wantValid(t, k, templates)
			want := objects(t, k.Kubectl(t, "kustomize", deployed(t, dir)))
			delete(want, "Namespace "+agentNamespace)
			if diff := cmp.Diff(want, objects(t, templates)); diff != "" {
				t.Errorf("the chart's objects (-kustomize +helm):\n%s", diff)
			}
		})
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
	want := objects(t, render())
	for _, c := range want[daemonSet].containers() {
		c["image"] = image
	}
	want["Secret ateom-system/ateom-config"] = object{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "ateom-config", "namespace": agentNamespace},
		"stringData": map[string]any{"config.toml": config},
	}
	if diff := cmp.Diff(want, objects(t, render("--values", values))); diff != "" {
		t.Errorf("the chart's objects with values of an administrator (-want +got):\n%s", diff)
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
