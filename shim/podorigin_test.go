// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"path/filepath"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/local"
)

// Only the pod that slept in a snapshot has the volumes that belong to it.
func TestVolumesBelongToThePodThatSlept(t *testing.T) {
	for _, isOwn := range []bool{true, false} {
		b := newBench(t)
		b.asPod(t)
		b.sb.origin = newOrigin()
		b.sb.origin.local = true
		if isOwn {
			b.sb.origin.slept = &local.Snapshot{Manifest: b.sb.origin.manifest}
		}
		c := b.addContainer(t, "app")
		c.decl.emptyDirs = []string{"home"}
		c.spec.Mounts = []specs.Mount{{
			Destination: "/home", Type: "bind", Source: filepath.Join(t.TempDir(), "kubernetes.io~empty-dir", "home"),
		}}
		if _, err := b.sb.provideVolumes(c); (err == nil) != isOwn || err != nil && !errdefs.IsFailedPrecondition(err) {
			t.Errorf("its own sleep: %v; %v", isOwn, err)
		}
	}
}

func TestAPodReadsWhatItsNamespaceHasMade(t *testing.T) {
	b := newBench(t)
	b.asPod(t)
	for by, want := range map[*artifacts.Pod]bool{
		{Namespace: "default", Name: "other"}: true,
		{Namespace: "defaults", Name: "p"}:    false,
		nil:                                   false,
	} {
		err := b.sb.mayRead(&artifacts.Manifest{Sandbox: artifacts.Sandbox{Pod: by}})
		if (err == nil) != want || err != nil && !errdefs.IsNotFound(err) {
			t.Errorf("made by %+v: %v", by, err)
		}
	}
}
