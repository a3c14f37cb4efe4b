// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"encoding/json"
	"path/filepath"
	"testing"
)

// requires maps the modules that a go.mod requires to their versions.
func requires(t *testing.T, dir string) map[string]string {
	t.Helper()
	var mod struct {
		Require []struct{ Path, Version string }
	}
	out := run(t, filepath.Join(top, dir), "go", "mod", "edit", "-json")
	if err := json.Unmarshal([]byte(out), &mod); err != nil {
		t.Fatalf("decode go.mod of %s: %v", dir, err)
	}
	versions := map[string]string{}
	for _, r := range mod.Require {
		versions[r.Path] = r.Version
	}
	return versions
}

// runsc and the gofer talk through an interface that gVisor promises nobody:
// they must come from one commit.
func TestRunscAndGoferAreOfOneGVisor(t *testing.T) {
	const gvisor = "gvisor.dev/gvisor"
	ours, pinned := requires(t, ".")[gvisor], requires(t, "runsc/pinned")[gvisor]
	if ours == "" || ours != pinned {
		t.Errorf("go.mod requires %s %q, runsc/pinned/go.mod %q: make them the same", gvisor, ours, pinned)
	}
}

func TestModuleFilesAreTidy(t *testing.T) {
	run(t, top, "go", "mod", "tidy", "-diff")
}

func TestGeneratedCodeIsInSync(t *testing.T) {
	dir := t.TempDir()
	run(t, top, "e2e/tools/generate", dir)
	fresh, err := filepath.Glob(filepath.Join(dir, "proto", "ateom", "*", "*.pb.go"))
	if err != nil || len(fresh) < 2 {
		t.Fatalf("generate: found %d files: %v", len(fresh), err)
	}
	for _, path := range fresh {
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			t.Fatal(err)
		}
		abs, err := filepath.Abs(path)
		if err != nil {
			t.Fatal(err)
		}
		if withoutVersions(read(t, rel)) != withoutVersions(readAt(t, abs)) {
			t.Errorf("%s is not what its .proto says: run make generate", rel)
		}
	}
}
