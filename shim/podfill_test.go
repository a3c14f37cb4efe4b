// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/durabledir"
	"github.com/ateom/ateom/shim/pod"
)

// fromVolumes makes it one that starts from a snapshot of two volumes.
func (b *bench) fromVolumes(t *testing.T) (home, work job.Volume) {
	t.Helper()
	b.asPod(t)
	root := b.addContainer(t, "box")
	root.decl.emptyDirs = []string{"home", "work", "other"}
	b.sb.origin = &origin{volumes: "01jd0000090000000000000000", manifest: &artifacts.Manifest{
		ID: "01jd0000090000000000000000", Scope: artifacts.Data,
		Parts: []artifacts.Part{{Name: "durable/home"}, {Name: "durable/work"}, {Name: "durable/nobody's"}},
	}}
	return job.Volume{Name: "home", Path: t.TempDir()}, job.Volume{Name: "work", Path: t.TempDir()}
}

// fill does what Create does with the volumes of a container.
func (b *bench) fill(t *testing.T, v job.Volume) error {
	t.Helper()
	isNew, err := b.sb.addVolume(v)
	if err != nil || !isNew {
		t.Fatal(isNew, err)
	}
	if err = b.sb.fillVolumes(t.Context(), []job.Volume{v}); err != nil {
		b.sb.forgetVolumes([]job.Volume{v})
	}
	return err
}

// The shim may die anywhere in a fill: the pod's next sandbox goes on from what
// the ledger and the volume say.
func TestAFillThatWasCutOffIsDoneByTheNextSandbox(t *testing.T) {
	write := func(text string) func(string) error {
		return func(dir string) error { return os.WriteFile(filepath.Join(dir, "content"), []byte(text), 0o600) }
	}
	for name, tt := range map[string]struct {
		filling, filled []string
		leave           func(dir string) error
		want            string
	}{
		"before anything":        {nil, nil, func(string) error { return nil }, "of the snapshot"},
		"before the first byte":  {[]string{"home"}, nil, func(string) error { return nil }, "of the snapshot"},
		"in the middle":          {[]string{"home"}, nil, func(dir string) error { return errors.Join(write("half")(dir), durabledir.Mark(dir, "x")) }, "of the snapshot"},
		"before it was noted":    {[]string{"home"}, nil, write("of the snapshot, perhaps not synced"), "of the snapshot"},
		"after a container came": {nil, []string{"home"}, write("the program's"), "the program's"},
	} {
		b := newBench(t)
		b.withRuntime(t)
		home, work := b.fromVolumes(t)
		b.sb.ledger.Filling, b.sb.ledger.Filled = tt.filling, tt.filled
		if err := errors.Join(tt.leave(home.Path), b.sb.ledger.Write()); err != nil {
			t.Fatal(err)
		}
		b.asPod(t)
		if err := b.fill(t, home); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := os.ReadFile(filepath.Join(home.Path, "content")); err != nil || string(got) != tt.want || durabledir.Marked(home.Path) {
			t.Errorf("%s: the volume holds %q, %v, marked %v; want %q", name, got, err, durabledir.Marked(home.Path), tt.want)
		}
		if b.sb.ledger.Begun {
			t.Errorf("%s: the pod has begun without its second volume", name)
		}
		if err := b.fill(t, work); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		b.asPod(t)
		want := &pod.Ledger{Begun: true, Filling: []string{}, Filled: []string{"home", "work"}}
		if l := b.sb.ledger; !l.Begun || len(l.Filling) > 0 || cmp.Diff(want.Filled, l.Filled) != "" {
			t.Errorf("%s: the ledger says %+v, want %+v", name, l, want)
		}
	}
}

// A container that could not be made because the store did not answer is tried
// again by kubelet in the same sandbox, and never over an empty volume.
func TestAFillThatFailsIsTriedAgain(t *testing.T) {
	b := newBench(t)
	f := b.withRuntime(t)
	home, _ := b.fromVolumes(t)
	f.failing(func(call string) bool { return call == "gofer "+string(job.Bring) })
	if err := b.fill(t, home); err == nil {
		t.Fatal("the store does not answer, and the volume is filled")
	}
	if l := b.sb.ledger; l.Begun || l.IsFilling("home") || l.IsFilled("home") {
		t.Errorf("the ledger says %+v", l)
	}
	f.failing(func(string) bool { return false })
	if err := b.fill(t, home); err != nil || !b.sb.ledger.IsFilled("home") {
		t.Errorf("the second try: %v, %+v", err, b.sb.ledger)
	}
}

// What somebody else has put into a volume is never removed for a fill.
func TestAFillTouchesNothingThatItHasNotBrought(t *testing.T) {
	b := newBench(t)
	b.withRuntime(t)
	home, _ := b.fromVolumes(t)
	path := filepath.Join(home.Path, "content")
	if err := os.WriteFile(path, []byte("somebody's"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.fill(t, home); err == nil || b.sb.ledger.IsFilling("home") {
			t.Errorf("%v, the ledger says %+v", err, b.sb.ledger)
		}
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "somebody's" {
		t.Errorf("the volume holds %q, %v", got, err)
	}
}

// A container is tried again in the same sandbox: a volume that was refused to the
// first try is refused to the second.
func TestAHalfRestoredVolumeIsRefusedAtEveryTry(t *testing.T) {
	b := newBench(t)
	c := b.addContainer(t, "app")
	half := t.TempDir()
	if err := durabledir.Mark(half, "x"); err != nil {
		t.Fatal(err)
	}
	c.decl.volumes = []durabledir.Declaration{{Name: "home", MountPath: "/home/agent"}}
	c.spec.Mounts = []specs.Mount{{Destination: "/home/agent", Type: "bind", Source: half}}
	for range 2 {
		fresh, err := b.sb.provideVolumes(c)
		if !errdefs.IsFailedPrecondition(err) {
			t.Errorf("a volume with half of a snapshot: %v", err)
		}
		b.sb.forgetVolumes(fresh)
	}
}
