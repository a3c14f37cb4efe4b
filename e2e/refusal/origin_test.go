// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package refusal

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/shim/config"
)

// A world is what a snapshot is started in: the manifest as the node finds it,
// and the container that is to go on.
type world struct {
	manifest  *artifacts.Manifest
	container harness.Container
}

// A Full snapshot is started where it can go on, or not at all: each cause is
// refused with an error of its own, when the manifest was read and nothing else.
// The packs are gone, so that whoever asked for a page would fail of that.
func TestSnapshotsThatCannotGoOnAreRefusedBeforeTheirPagesMove(t *testing.T) {
	const image = "sha256:0011223344556677001122334455667700112233445566770011223344556677"
	cases := []struct {
		name  string
		other func(*world)
		says  []string
	}{
		{"another runsc", func(w *world) { w.manifest.Runtime.SHA256 = strings.Repeat("ab", 32) }, []string{"needs runsc", strings.Repeat("ab", 32), "runsc-builds"}},
		{"another CPU", func(w *world) { w.manifest.Machine.CPUFeatures = append(w.manifest.Machine.CPUFeatures, "warp") }, []string{"CPU lacks warp"}},
		{"another architecture", func(w *world) { w.manifest.Machine.Arch = "mips64" }, []string{"it was made on mips64"}},
		{"pages of another size", func(w *world) { w.manifest.Machine.PageSize = 1 << 16 }, []string{"pages of 65536 bytes"}},
		{"another image", func(w *world) { w.container.Annotations["ateom.dev/image-digest"] = image }, []string{"it was made with image sha256:", "this container has " + image}},
		{"one mount more", func(w *world) { w.container.Opts = []oci.SpecOpts{withTmpfs("/more")} }, []string{"something is mounted at /more, where nothing was"}},
		{"one mount less", func(w *world) { delete(w.container.Annotations, "ateom.dev/durable-dirs") }, []string{"nothing is mounted at /home any more"}},
		{"another command", func(w *world) { w.container.Args = []string{"sleep", "2000"} }, []string{`its command was ["sleep" "1000"] and is ["sleep" "2000"]`}},
		{"another set of containers", func(w *world) {
			w.manifest.Sandbox.Containers = append(w.manifest.Sandbox.Containers, artifacts.Container{ID: "side", Name: "side"})
		}, []string{"it has 2 containers", "side", "io.containerd.ateom.v1.group"}},
	}
	for _, how := range []config.CheckpointIO{config.Gofer, config.Files} {
		t.Run(string(how), func(t *testing.T) {
			t.Parallel()
			n := harness.NewNode(t, harness.Config{Config: config.Config{CheckpointIO: how}})
			base := harness.Container{Args: []string{"sleep", "1000"}, Annotations: map[string]string{
				"ateom.dev/durable-dirs": `[{"name":"home","mountPath":"/home"}]`, "ateom.dev/store": "dir",
			}}
			id := harness.LastLine(n.Ateom(t, "tasks", "commit", "--scope", "Full", n.Run(t, base).ID))
			base.Annotations["ateom.dev/restore-from"] = id
			n.Run(t, base) // where it was made, it goes on
			if err := os.RemoveAll(filepath.Join(storeDir(n), "packs")); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(storeDir(n), "snapshots", id, "manifest.json")
			manifest := harness.ReadFile(t, path)
			for _, c := range cases {
				t.Run(c.name, func(t *testing.T) {
					m, err := artifacts.DecodeManifest([]byte(manifest))
					if err != nil {
						t.Fatal(err)
					}
					w := &world{manifest: m, container: base}
					w.container.Annotations = maps.Clone(base.Annotations)
					c.other(w)
					text, err := artifacts.EncodeManifest(m)
					if err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(path, text, 0o600); err != nil {
						t.Fatal(err)
					}
					before := everything(t, n)
					_, err = n.TryRun(t, w.container)
					if !errdefs.IsFailedPrecondition(err) {
						t.Fatalf("start: %v, want a failed precondition", err)
					}
					wantSentence(t, err.Error(), append(c.says, id))
					wantUnchanged(t, n, before)
				})
			}
			// What is refused by nobody asks for pages.
			if err := os.WriteFile(path, []byte(manifest), 0o600); err != nil {
				t.Fatal(err)
			}
			cached := filepath.Join(n.Config.StateDir, "cache")
			if err := os.RemoveAll(cached); err != nil {
				t.Fatal(err)
			}
			if _, err := n.TryRun(t, base); err == nil || !strings.Contains(err.Error(), "packs/") {
				t.Errorf("start without packs: %v", err)
			}
		})
	}
}

// withTmpfs mounts one file system more.
func withTmpfs(path string) oci.SpecOpts {
	return oci.WithMounts([]specs.Mount{{Destination: path, Type: "tmpfs", Source: "tmpfs"}})
}

// A container that joins a sandbox out of a snapshot is the one that the
// snapshot has under its name.
func TestContainersThatASnapshotLacksAreRefused(t *testing.T) {
	t.Parallel()
	n := harness.NewNode(t, harness.Config{})
	member := func(group, name, from string) harness.Container {
		c := harness.Container{Args: []string{"sleep", "1000"}, Annotations: map[string]string{
			"io.containerd.ateom.v1.group": group, "io.kubernetes.cri.container-name": name, "ateom.dev/store": "dir",
			"ateom.dev/durable-dirs": `[{"name":"home","mountPath":"/home","container":"side"}]`, "ateom.dev/inside": "/run/ateom", "ateom.dev/self": "Commit",
		}}
		if from != "" {
			c.Annotations["ateom.dev/restore-from"] = from
		}
		return c
	}
	first := n.Run(t, member("first", "main", ""))
	n.Run(t, member("first", "side", ""))
	id := harness.LastLine(n.Ateom(t, "tasks", "commit", "--scope", "Full", first.ID))

	n.Run(t, member("second", "main", id))
	_, err := n.TryRun(t, member("second", "other", id))
	if !errdefs.IsFailedPrecondition(err) {
		t.Fatalf("start: %v, want a failed precondition", err)
	}
	wantSentence(t, err.Error(), []string{id, `it has no container "other" (it has: side)`})
	changed := member("second", "side", id)
	changed.Args = []string{"sleep", "2000"}
	if _, err = n.TryRun(t, changed); !errdefs.IsFailedPrecondition(err) {
		t.Fatalf("start: %v, want a failed precondition", err)
	}
	wantSentence(t, err.Error(), []string{id, `container "side" differs`, `its command was ["sleep" "1000"] and is ["sleep" "2000"]`})
	// The one that it has completes it.
	last := n.Run(t, member("second", "side", id))
	if got := last.SandboxState(t); got != "running" {
		t.Errorf("the sandbox is %s", got)
	}
}
