// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/artifacts"
)

// A checkpointDir is a directory as CheckpointPod writes it, with a manifest that
// a test may change.
type checkpointDir struct {
	dir      string
	manifest *artifacts.Manifest
}

// newCheckpointDir makes one of a pod of two containers and a volume. All parts of memory are
// one chunk.
func newCheckpointDir(t *testing.T) *checkpointDir {
	t.Helper()
	c := &checkpointDir{dir: t.TempDir(), manifest: newOrigin().manifest}
	m := c.manifest
	m.Sandbox.ID, m.Format, m.Created = "p", artifacts.FormatVersion, m.ID.Time()
	m.Runtime, m.Machine = &artifacts.Runtime{Name: "runsc", Version: "1", SHA256: strings.Repeat("0", 64)}, thisMachine()
	content := []byte("memory")
	chunk, pack := artifacts.Digest(sha256.Sum256(content)), artifacts.Digest(sha256.Sum256([]byte("pack")))
	size := uint32(len(content))
	recipe := &artifacts.Recipe{}
	err := recipe.AppendLocated(size, chunk, artifacts.Location{Pack: artifacts.Pack{Digest: pack, Size: size}, StoredLength: size})
	if err != nil {
		t.Fatal(err)
	}
	encoded := artifacts.EncodeRecipe(recipe)
	stored := artifacts.Digest(sha256.Sum256(encoded))
	c.write(t, artifacts.RecipeKey(stored), encoded)
	c.write(t, artifacts.PackKey(pack), content)
	for _, name := range []string{artifacts.PartKernel, artifacts.PartPagesMeta, artifacts.PartPages} {
		m.Parts = append(m.Parts, artifacts.Part{
			Name: name, Encoding: artifacts.Chunks, Size: int64(size), Digest: recipe.Root(), StoredSize: int64(len(encoded)), StoredDigest: stored,
		})
	}
	m.Parts = append(m.Parts, artifacts.Part{
		Name: artifacts.DurablePrefix + "home", Encoding: artifacts.TarZstd, Size: 10, Digest: chunk, StoredSize: int64(size), StoredDigest: chunk,
	})
	c.write(t, artifacts.VolumeKey(m.ID, "home"), content)
	return c
}

func (c *checkpointDir) write(t *testing.T, key string, b []byte) {
	t.Helper()
	path := filepath.Join(c.dir, key)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// check writes the manifest and checks a restore from the checkpoint.
func (c *checkpointDir) check(t *testing.T, change func(*PodRestore)) error {
	t.Helper()
	b, err := artifacts.EncodeManifest(c.manifest)
	if err != nil {
		t.Fatal(err)
	}
	c.write(t, artifacts.ManifestKey("01jd0000090000000000000000"), b)
	r := &PodRestore{CheckpointPath: c.dir, Containers: []string{"side", "app"}}
	if change != nil {
		change(r)
	}
	return CheckPodRestore(r)
}

func TestCheckPodRestoreWantsTheCheckpointsContainers(t *testing.T) {
	c := newCheckpointDir(t)
	if err := c.check(t, nil); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*PodRestore){
		"a container less":  func(r *PodRestore) { r.Containers = []string{"app"} },
		"a container more":  func(r *PodRestore) { r.Containers = append(r.Containers, "x") },
		"a container twice": func(r *PodRestore) { r.Containers = []string{"app", "app"} },
		"no container":      func(r *PodRestore) { r.Containers = nil },
		"an option":         func(r *PodRestore) { r.Options = map[string]string{"a": "b"} },
		"a relative path":   func(r *PodRestore) { r.CheckpointPath = "x" },
		"no checkpoint":     func(r *PodRestore) { r.CheckpointPath = t.TempDir() },
	} {
		if err := c.check(t, change); !errdefs.IsInvalidArgument(err) && !errdefs.IsFailedPrecondition(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCheckPodRestoreRefusesWhatCouldNotGoOnHere(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*testing.T, *checkpointDir)
		is     func(error) bool
		want   string
	}{
		"volumes alone": {func(_ *testing.T, c *checkpointDir) {
			c.manifest.Scope, c.manifest.Parts = artifacts.Data, c.manifest.Parts[3:]
		}, errdefs.IsFailedPrecondition, "scope"},
		"another machine": {func(_ *testing.T, c *checkpointDir) { c.manifest.Machine.Arch = "m68k" }, errdefs.IsFailedPrecondition, "m68k"},
		"another CPU": {func(_ *testing.T, c *checkpointDir) {
			c.manifest.Machine.CPUFeatures = append(c.manifest.Machine.CPUFeatures, "quantum")
		}, errdefs.IsFailedPrecondition, "quantum"},
		"another snapshot's manifest": {func(_ *testing.T, c *checkpointDir) {
			c.manifest.ID = "01jd0000090000000000000001"
			c.manifest.Created = c.manifest.ID.Time()
		}, errdefs.IsDataLoss, "01jd0000090000000000000001"},
		"no recipe": {func(t *testing.T, c *checkpointDir) {
			c.remove(t, artifacts.RecipeKey(c.manifest.Parts[0].StoredDigest))
		}, errdefs.IsDataLoss, artifacts.PartKernel},
		"a changed recipe": {func(t *testing.T, c *checkpointDir) {
			c.write(t, artifacts.RecipeKey(c.manifest.Parts[0].StoredDigest), make([]byte, c.manifest.Parts[0].StoredSize))
		}, errdefs.IsDataLoss, "not what was written"},
		"no pack": {func(t *testing.T, c *checkpointDir) { c.remove(t, artifacts.PackKey(sha256.Sum256([]byte("pack")))) }, errdefs.IsDataLoss, "no such file"},
		"a short pack": {func(t *testing.T, c *checkpointDir) {
			c.write(t, artifacts.PackKey(sha256.Sum256([]byte("pack"))), []byte("mem"))
		}, errdefs.IsDataLoss, "3 bytes instead of 6"},
		"no volume": {func(t *testing.T, c *checkpointDir) { c.remove(t, artifacts.VolumeKey(c.manifest.ID, "home")) }, errdefs.IsDataLoss, "durable/home"},
	} {
		c := newCheckpointDir(t)
		tt.change(t, c)
		if err := c.check(t, nil); !tt.is(err) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q in it", name, err, tt.want)
		}
	}
}

func (c *checkpointDir) remove(t *testing.T, key string) {
	t.Helper()
	if err := os.Remove(filepath.Join(c.dir, key)); err != nil {
		t.Fatal(err)
	}
}
