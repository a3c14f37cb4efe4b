// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"path/filepath"
	"strings"
	"testing"

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
