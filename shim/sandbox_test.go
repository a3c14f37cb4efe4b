// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/durabledir"
	"github.com/ateom/ateom/shim/volumes"
)

func TestOneVerbAtATime(t *testing.T) {
	sb := newBench(t).sb
	_, end, err := sb.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := sb.take(ended); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "sandbox is created") {
		t.Errorf("a second verb: %v, want a wait that ends with its context and tells the state", err)
	}
	end()
	_, end, err = sb.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	end()
}

func TestWhatWinsEndsTheVerbUnderWayAndThoseThatWait(t *testing.T) {
	b := newBench(t)
	sb, root := b.sb, b.addContainer(t, "box")
	sb.overrule(verbKill, root)() // nobody is under way
	first, end, err := sb.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if first.Err() != nil {
		t.Error("what won before ended the verb")
	}
	done := sb.overrule(verbKill, root)
	if cause := context.Cause(first); !errors.Is(cause, errKilled) {
		t.Errorf("cause %v, want errKilled", cause)
	}
	end()
	if _, _, err := sb.begin(t.Context(), verbCreate); !errors.Is(err, errKilled) {
		t.Errorf("a verb that has waited: %v, want errKilled", err)
	}
	done()
	second, end, err := sb.begin(t.Context(), verbCreate)
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	if second.Err() != nil {
		t.Error("the next verb was ended too")
	}
}

func TestLives(t *testing.T) {
	sb := newBench(t).sb
	if sb.currentLife() != nil {
		t.Error("a new sandbox lives")
	}
	first := sb.newLife(1)
	second := sb.newLife(2)
	if first.ctx.Err() == nil || second.ctx.Err() != nil || sb.currentLife() != second {
		t.Error("a new life is to end the old one and only that")
	}
	sb.endLife()
	sb.endLife()
	if second.ctx.Err() == nil || sb.currentLife() != nil {
		t.Error("endLife left a life")
	}
}

func TestSnapshotInUseIsRemovedWhenNobodyReadsIt(t *testing.T) {
	b := newBench(t)
	exists := func(id artifacts.ID) bool {
		t.Helper()
		_, err := b.sb.local.Get(id)
		if err != nil && !errdefs.IsNotFound(err) {
			t.Fatal(err)
		}
		return err == nil
	}
	free, read := artifacts.NewID(time.Now()), artifacts.NewID(time.Now())
	b.newSnapshot(t, free)
	b.newSnapshot(t, read)
	b.sb.discard(free)
	if exists(free) {
		t.Error("a snapshot that nobody reads is still there")
	}
	one, two := b.sb.use(read), b.sb.use(read)
	b.sb.discard(read)
	one()
	one() // releasing twice counts once
	if !exists(read) {
		t.Error("a snapshot was removed under its reader")
	}
	two()
	if exists(read) {
		t.Error("the snapshot is still there when its last reader has gone")
	}
	b.newSnapshot(t, free)
	b.sb.use(free)()
	if !exists(free) {
		t.Error("reading a snapshot removed it")
	}
}

func TestIncompatibleSnapshotsAreRefused(t *testing.T) {
	b := newBench(t)
	identity, err := b.sb.madeBy(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	good := func() *artifacts.Manifest {
		return &artifacts.Manifest{
			ID: "snap", Scope: artifacts.Full, Machine: thisMachine(),
			Runtime: &artifacts.Runtime{Name: "runsc", Version: identity.Version, SHA256: identity.SHA256},
			Sandbox: artifacts.Sandbox{Containers: []artifacts.Container{{ImageDigest: "sha256:a"}}},
		}
	}
	tests := []struct {
		name   string
		image  string
		change func(*artifacts.Manifest)
		want   string // "" is compatible
	}{
		{"same", "sha256:a", func(*artifacts.Manifest) {}, ""},
		{"image that nobody knows", "", func(*artifacts.Manifest) {}, ""},
		{"image that was not known", "sha256:a", func(m *artifacts.Manifest) { m.Sandbox.Containers[0].ImageDigest = "" }, ""},
		{"no containers", "sha256:a", func(m *artifacts.Manifest) { m.Sandbox.Containers = nil }, ""},
		{"other image", "sha256:b", func(*artifacts.Manifest) {}, "image sha256:a"},
		{"other runsc", "", func(m *artifacts.Manifest) { m.Runtime.SHA256 = "0" }, "runsc"},
		{"other runsc, data alone", "", func(m *artifacts.Manifest) { m.Runtime.SHA256, m.Scope = "0", artifacts.Data }, ""},
		{"no runtime", "", func(m *artifacts.Manifest) { m.Runtime = nil }, "does not say"},
		{"no machine", "", func(m *artifacts.Manifest) { m.Machine = nil }, "does not say"},
		{"other architecture", "", func(m *artifacts.Manifest) { m.Machine.Arch = "mips" }, "mips, this node is " + runtime.GOARCH},
		{"other pages", "", func(m *artifacts.Manifest) { m.Machine.PageSize = 3 }, "pages of 3 bytes"},
		{"more CPU", "", func(m *artifacts.Manifest) { m.Machine.CPUFeatures = append(m.Machine.CPUFeatures, "warp", "drive") }, "CPU lacks warp, drive"},
		{"less CPU", "", func(m *artifacts.Manifest) { m.Machine.CPUFeatures = m.Machine.CPUFeatures[:1] }, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := good()
			tt.change(m)
			err := b.sb.checkCompatible(t.Context(), m, tt.image)
			if tt.want == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "snapshot snap") {
				t.Errorf("checkCompatible = %v, want a failed precondition with %q", err, tt.want)
			}
		})
	}
}

// lost returns what is set aside below the state directory.
func lost(t *testing.T, state string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(state, "lost"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// What a crash left in the volumes is not lost, whatever becomes of the Create
// that finds it.
func TestCrashedVolumesSurviveAFailedCreate(t *testing.T) {
	b := newBench(t)
	precious := filepath.Join(b.sb.volumesDir, "home", "precious")
	if err := os.MkdirAll(filepath.Dir(precious), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(precious, []byte("bytes"), 0o600); err != nil {
		t.Fatal(err)
	}
	// A Create that fails before it looks at the volumes.
	if err := b.forget(t.Context(), b.sb); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(precious); err != nil || string(text) != "bytes" {
		t.Fatalf("after an early failure there is %q, %v", text, err)
	}
	// One that fails after it.
	var undo undoList
	if err := b.sb.settleVolumes(&undo); err != nil {
		t.Fatal(err)
	}
	undo.run(t.Context())
	names := lost(t, b.sb.cfg.StateDir)
	if len(names) != 1 {
		t.Fatalf("set aside are %v, want the old volumes", names)
	}
	if text, err := os.ReadFile(filepath.Join(b.sb.cfg.StateDir, "lost", names[0], "home", "precious")); err != nil || string(text) != "bytes" {
		t.Errorf("set aside was %q, %v", text, err)
	}
}

func TestPausedVolumesAreTakenBackAndSurviveAFailedCreate(t *testing.T) {
	b := newBench(t)
	id := artifacts.NewID(time.Now())
	crashed := volumes.Dir(b.sb.cfg.StateDir, "ns", "crashed")
	precious := filepath.Join("home", "precious")
	if err := os.MkdirAll(filepath.Join(crashed, "home"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(crashed, precious), []byte("bytes"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := volumes.NotePaused(crashed, id); err != nil {
		t.Fatal(err)
	}
	if err := volumes.SetAside(b.sb.cfg.StateDir, crashed); err != nil {
		t.Fatal(err)
	}
	b.sb.origin = &origin{manifest: &artifacts.Manifest{ID: id}, local: true, release: func() {}}

	for _, fails := range []bool{true, false} { // the retry finds them again
		var undo undoList
		if err := b.sb.settleVolumes(&undo); err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(filepath.Join(b.sb.volumesDir, precious)); err != nil || string(text) != "bytes" || !b.sb.origin.volumesPresent {
			t.Fatalf("taken back: %q, %v, noted %v", text, err, b.sb.origin.volumesPresent)
		}
		if fails {
			undo.run(t.Context())
		}
	}
}

func TestProvideVolumes(t *testing.T) {
	b := newBench(t)
	c := b.addContainer(t, "box")
	mine := t.TempDir()
	c.decl.volumes = []durabledir.Declaration{{Name: "home", MountPath: "/home/agent"}, {Name: "work", MountPath: "/work"}}
	c.spec.Mounts = []specs.Mount{{Destination: "/work/", Type: "bind", Source: mine}}
	fresh, err := b.sb.provideVolumes(c)
	if err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(b.sb.volumesDir, "home")
	got := map[string]string{}
	for _, v := range fresh {
		got[v.Name] = v.Path
	}
	// A bind mount that is there already is taken over.
	if diff := cmp.Diff(map[string]string{"home": home, "work": mine}, got); diff != "" {
		t.Errorf("volumes (-want +got):\n%s", diff)
	}
	if fi, err := os.Stat(home); err != nil || !fi.IsDir() {
		t.Errorf("the host directory: %v", err)
	}
	want := []specs.Mount{c.spec.Mounts[0], {Destination: "/home/agent", Type: "bind", Source: home, Options: []string{"rbind", "rw", "nodev", "nosuid"}}}
	if diff := cmp.Diff(want, c.spec.Mounts); diff != "" {
		t.Errorf("mounts (-want +got):\n%s", diff)
	}

	// Another container may share a volume, and must mean the same place.
	sharing := b.addContainer(t, "sharing")
	sharing.decl.volumes = []durabledir.Declaration{{Name: "home", MountPath: "/h"}}
	if fresh, err := b.sb.provideVolumes(sharing); err != nil || len(fresh) != 0 {
		t.Errorf("sharing: %v, %v, want nothing fresh", fresh, err)
	}
	other := b.addContainer(t, "other")
	other.decl.volumes = []durabledir.Declaration{{Name: "work", MountPath: "/w"}}
	if _, err := b.sb.provideVolumes(other); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), `"work"`) {
		t.Errorf("another place for the same volume: %v", err)
	}
}

// The path of a terminal's socket has to fit into an address, with the longest
// names that Kubernetes gives.
func TestConsoleSocketPathIsShort(t *testing.T) {
	const longest = 107
	c, err := newConsoleSocket(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	inRunDir := "/run/ateom" + strings.TrimPrefix(c.path, filepath.Dir(filepath.Dir(c.path)))
	if len(inRunDir)+len("4294967295") > longest {
		t.Errorf("%s has %d bytes", inRunDir, len(inRunDir))
	}
}
