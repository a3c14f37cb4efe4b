// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package task

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	runtimeoptions "github.com/containerd/containerd/api/types/runtimeoptions/v1"
	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/e2e/harness"
)

func TestRuntimeOptionsChooseTheConfiguration(t *testing.T) {
	n := harness.Shared(t)
	runDir := filepath.Join(n.Dir, "other-run")
	path := filepath.Join(t.TempDir(), "other.toml")
	text, err := os.ReadFile(n.ConfigPath())
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(string(text), n.Config.RunDir, runDir, 1)
	if err := os.WriteFile(path, []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, options := range map[string]*runtimeoptions.Options{
		"ConfigPath": {ConfigPath: path},
		"ConfigBody": {ConfigBody: []byte("run-dir = '" + runDir + "'")},
	} {
		t.Run(name, func(t *testing.T) {
			task := n.Run(t, harness.Container{Args: []string{"sleep", "1000"}, Options: options})
			if _, err := os.Stat(filepath.Join(runDir, "sandboxes", n.Namespace, task.ID)); err != nil {
				t.Errorf("the run-dir of the options is not used: %v", err)
			}
		})
	}
}

func TestBadRuntimeOptionsAreRefused(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	for name, c := range map[string]struct{ body, want string }{
		"unknown setting": {"colour = 'red'", "unknown setting \"colour\""},
		"relative path":   {"run-dir = 'here'", "run-dir: want an absolute path, got \"here\""},
		"not TOML":        {"{", "runtime options"},
		"unknown runsc":   {"runsc = '/no/such/runsc'", "/no/such/runsc"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := n.TryRun(t, harness.Container{Args: []string{"true"}, Options: &runtimeoptions.Options{ConfigBody: []byte(c.body)}})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want one with %q", err, c.want)
			}
			if name != "unknown runsc" && !errdefs.IsInvalidArgument(err) {
				t.Errorf("%v is no invalid argument", err)
			}
		})
	}
}

func TestShimTellsItsVersion(t *testing.T) {
	t.Parallel()
	shim, err := harness.Program("containerd-shim-ateom-v1")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(shim, "-v").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Version:") {
		t.Errorf("-v: %v: %q", err, out)
	}
}

func TestContainerdLearnsTheRuntimesInformation(t *testing.T) {
	t.Parallel()
	out := harness.Shared(t).Ctr(t, "plugins", "inspect-runtime", "--runtime", harness.Runtime)
	var info struct{ Name string }
	if err := json.Unmarshal([]byte(out), &info); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if info.Name != harness.Runtime {
		t.Errorf("the runtime calls itself %q, want %q", info.Name, harness.Runtime)
	}
}
