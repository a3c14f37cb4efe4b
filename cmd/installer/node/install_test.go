// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tree is what a directory holds: files by path, with their modes.
func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := e.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		found[rel] = fi.Mode().String()
		if e.Type().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			found[rel] += " " + string(b)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
}

// newNode returns the options of a node with a containerd's configuration, and
// the number of restarts so far.
func newNode(t *testing.T, containerd string) (o Options, restarts *int) {
	t.Helper()
	root, source := t.TempDir(), t.TempDir()
	if containerd != "" {
		write(t, filepath.Join(root, "etc/containerd/config.toml"), containerd)
	}
	write(t, filepath.Join(root, "opt/cni/bridge"), "other")
	write(t, filepath.Join(source, "containerd-shim-ateom-v1"), "shim 1")
	write(t, filepath.Join(source, "gvisor-bin/checkpointgofer"), "gofer 1")
	restarts = new(int)
	return Options{
		Root: root, Source: source, Dir: DefaultDir, Config: map[string][]byte{"config.toml": []byte("default-store = \"s\"\n"), "store.key": []byte("key")}, Containerd: "/etc/containerd/config.toml",
		Restart: func(context.Context) error { *restarts++; return nil }, CRI: criOf(root), Log: &bytes.Buffer{},
	}, restarts
}

// criOf is a CRI plugin that has what the drop-in says.
func criOf(root string) func(context.Context) (map[string]Runtime, error) {
	return func(context.Context) (map[string]Runtime, error) {
		dir := dirOf(root, "/etc/containerd/conf.d/ateom.toml")
		return map[string]Runtime{handler: {runtimeType, filepath.Join(dir, "bin", shimName)}}, nil
	}
}

const config2 = `version = 2
root = "/var/lib/containerd" # here
imports = ["/etc/containerd/other.toml"]

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "pause:3"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
`

const config3 = `# mine
version = 3

[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
`

func TestUninstallLeavesTheNodeAsItWas(t *testing.T) {
	for name, config := range map[string]string{"version 2": config2, "version 3": config3, "none": ""} {
		t.Run(name, func(t *testing.T) {
			o, restarts := newNode(t, config)
			before := tree(t, o.Root)
			if err := Install(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			if *restarts != 1 {
				t.Errorf("containerd was restarted %d times by the first install", *restarts)
			}
			installed := tree(t, o.Root)
			for _, path := range []string{"opt/ateom/bin/containerd-shim-ateom-v1", "opt/ateom/bin/gvisor-bin/checkpointgofer", "etc/ateom/config.toml", "etc/ateom/store.key"} {
				if installed[path] == "" {
					t.Errorf("%s is not there", path)
				}
			}
			for _, path := range []string{"etc/ateom/config.toml", "etc/ateom/store.key"} {
				if mode := installed[path]; !strings.HasPrefix(mode, "-rw-------") {
					t.Errorf("%s, which may hold credentials, has mode %.10s", path, mode)
				}
			}
			// Again, and with other programs: containerd need not know.
			write(t, filepath.Join(o.Source, "containerd-shim-ateom-v1"), "shim 2")
			for range 2 {
				if err := Install(t.Context(), o); err != nil {
					t.Fatal(err)
				}
			}
			if *restarts != 1 {
				t.Errorf("containerd was restarted %d times, want once", *restarts)
			}
			if got := tree(t, o.Root)["opt/ateom/bin/containerd-shim-ateom-v1"]; !strings.HasSuffix(got, "shim 2") {
				t.Errorf("the shim is %q", got)
			}
			if err := Uninstall(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, tree(t, o.Root)); diff != "" {
				t.Errorf("the node (-before +after):\n%s", diff)
			}
			if *restarts != 2 {
				t.Errorf("containerd was restarted %d times in all, want twice", *restarts)
			}
		})
	}
}

func TestAContainerdThatDoesNotComeUpGetsItsConfigurationBack(t *testing.T) {
	o, _ := newNode(t, config3)
	before := tree(t, o.Root)
	var seen []bool
	o.Restart = func(context.Context) error {
		_, err := os.Stat(filepath.Join(o.Root, "etc/containerd/conf.d/ateom.toml"))
		seen = append(seen, err == nil)
		if err == nil {
			return errors.New("it does not serve")
		}
		return nil
	}
	err := Install(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "the node is as it was") || !strings.Contains(err.Error(), "it does not serve") {
		t.Errorf("Install = %v", err)
	}
	if diff := cmp.Diff([]bool{true, false}, seen); diff != "" {
		t.Errorf("restarts with our drop-in (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, tree(t, o.Root)); diff != "" {
		t.Errorf("the node (-before +after):\n%s", diff)
	}
}

func TestARestartThatAnInstallerDiedBeforeIsMadeUpFor(t *testing.T) {
	o, restarts := newNode(t, config3)
	counted := o.Restart
	o.Restart = func(context.Context) error { panic("killed") }
	func() {
		defer func() { recover() }()
		_ = Install(t.Context(), o)
	}()
	o.Restart = counted
	for range 2 {
		if err := Install(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	if *restarts != 1 {
		t.Errorf("containerd was restarted %d times, want once", *restarts)
	}
}

func TestDropInOfContainerd1RepeatsTheSectionInForce(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "etc/containerd/config.toml"), config2)
	write(t, filepath.Join(root, "etc/containerd/other.toml"), `version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "pause:4"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.kata]
    runtime_type = "io.containerd.kata.v2"
`)
	text, err := dropIn(root, "/etc/containerd/config.toml", "/opt/shim")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"version = 2", "pause:4", "io.containerd.kata.v2", "io.containerd.ateom.v1", "/opt/shim", "ateom.dev/*"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the drop-in does not say %q:\n%s", want, text)
		}
	}
}

// containerd 1.x knows runc only as long as no runtime is named.
func TestDropInOfContainerd1LeavesTheRuntimeThatNobodyNamed(t *testing.T) {
	for config, want := range map[string]bool{
		"version = 2\n": true,
		"version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = \"pause:3\"\n":                                       true,
		"version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.kata]\nruntime_type = \"io.containerd.kata.v2\"\n": false,
		config3: false,
	} {
		root := t.TempDir()
		write(t, filepath.Join(root, "etc/containerd/config.toml"), config)
		text, err := dropIn(root, "/etc/containerd/config.toml", "/opt/shim")
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(text), "io.containerd.runc.v2"); got != want {
			t.Errorf("the drop-in for\n%s\nnames runc: %v, want %v:\n%s", config, got, want, text)
		}
	}
}
