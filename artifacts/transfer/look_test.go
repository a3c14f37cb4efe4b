// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ateom/ateom/artifacts"
	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

func TestLookingInsideAVolume(t *testing.T) {
	s := openStore(t, fileURL(t.TempDir()))
	n := newNode(t)
	n.write(0, "docs/a.txt", "hello")
	n.write(0, "docs/b.txt", strings.Repeat("b", 100_000))
	if err := os.Link(filepath.Join(n.volumes[0].Path, "docs/a.txt"), filepath.Join(n.volumes[0].Path, "docs/c.txt")); err != nil {
		t.Fatal(err)
	}
	m, _ := n.commit(s, artifacts.Data, epoch, nil, "")
	if got := Volumes(m); !slices.Equal(got, []string{"home", "work"}) {
		t.Errorf("volumes %q", got)
	}
	var names []string
	for f, err := range Files(t.Context(), s, m, "home") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, f.Name)
	}
	if diff := cmp.Diff([]string{"docs", "docs/a.txt", "docs/b.txt", "docs/c.txt"}, slices.DeleteFunc(names, func(s string) bool { return s == "." })); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	for name, want := range map[string]string{"docs/a.txt": "hello", "/docs/a.txt": "hello", "docs/c.txt": "hello", "docs/b.txt": strings.Repeat("b", 100_000)} {
		var out bytes.Buffer
		if err := Cat(t.Context(), s, m, "home", name, &out); err != nil || out.String() != want {
			t.Errorf("cat %s: %d bytes, %v", name, out.Len(), err)
		}
	}
	if err := Cat(t.Context(), s, m, "home", "docs/none", io.Discard); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("cat what is not there: %v", err)
	}
	if err := Cat(t.Context(), s, m, "home", "docs", io.Discard); !errors.Is(err, errdefs.ErrInvalidArgument) {
		t.Errorf("cat a directory: %v", err)
	}
	if err := Cat(t.Context(), s, m, "tmp", "x", io.Discard); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("cat in another volume: %v", err)
	}
	var out bytes.Buffer
	if err := Export(t.Context(), s, m, "home", &out); err != nil {
		t.Fatal(err)
	}
	if digestOf(out.Bytes()) != m.Parts[0].Digest {
		t.Error("the exported archive is not the part")
	}
	if _, err := tar.NewReader(&out).Next(); err != nil {
		t.Errorf("read the exported archive: %v", err)
	}
}

func TestLookingInsideADamagedVolumeEndsInAnError(t *testing.T) {
	s := openStore(t, "mem://")
	n := newNode(t)
	n.write(0, "a", strings.Repeat("some text ", 10_000))
	m, _ := n.commit(s, artifacts.Data, epoch, nil, "")
	key := artifacts.VolumeKey(m.ID, "home")
	good := mustRead(t, s, key)
	for _, d := range damages[:7] {
		mustPut(t, s, key, d.apply(bytes.Clone(good), nil))
		if err := Cat(t.Context(), s, m, "home", "a", io.Discard); !errors.Is(err, errdefs.ErrDataLoss) {
			t.Errorf("cat, %s: %v, want data loss", d.name, err)
		}
		if err := Export(t.Context(), s, m, "home", io.Discard); !errors.Is(err, errdefs.ErrDataLoss) {
			t.Errorf("export, %s: %v, want data loss", d.name, err)
		}
	}
}

func TestDiffNamesWhatChanged(t *testing.T) {
	s := openStore(t, "mem://")
	n := newNode(t)
	for _, name := range []string{"same", "gone", "changed", "touched"} {
		n.write(0, name, "content of "+name)
	}
	n.write(1, "x", "1")
	a, _ := n.commit(s, artifacts.Data, epoch, nil, "")
	home := n.volumes[0].Path
	if err := os.Remove(filepath.Join(home, "gone")); err != nil {
		t.Fatal(err)
	}
	n.write(0, "changed", "other")
	n.write(0, "new", "new!")
	if err := os.Chmod(filepath.Join(home, "touched"), 0o600); err != nil {
		t.Fatal(err)
	}
	b, _ := n.commit(s, artifacts.Data, epoch.Add(time.Second), nil, "")
	got, err := Diff(t.Context(), s, a, b)
	if err != nil {
		t.Fatal(err)
	}
	got = slices.DeleteFunc(got, func(c Change) bool { return c.Name == "." }) // its time has changed
	want := []Change{
		{"home", "changed", Modified, 18, 5},
		{"home", "gone", Removed, 15, 0},
		{"home", "touched", Touched, 18, 18},
		{"home", "new", Added, 0, 4},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCopyIsTheSameSnapshot(t *testing.T) {
	from, to := openStore(t, "mem://"), openStore(t, fileURL(t.TempDir()))
	here, there := newNode(t), newNode(t)
	here.write(0, "a", "one")
	image := testImage(1, 3000)
	m, _ := here.commit(from, artifacts.Full, epoch, image, "")
	scratch := t.TempDir()
	if _, err := Copy(t.Context(), from, to, m.ID, scratch, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := Copy(t.Context(), from, to, m.ID, scratch, nil); !errors.Is(err, errdefs.ErrAlreadyExists) {
		t.Errorf("copy again: %v, want already exists", err)
	}
	if diff := cmp.Diff(keys(t, from, ""), keys(t, to, "")); diff != "" {
		t.Errorf("objects (-from +to):\n%s", diff)
	}
	dir, _, err := there.fetch(to, m.ID, false)
	if err != nil {
		t.Fatal(err)
	}
	if !maps.EqualFunc(image, readImage(t, dir), bytes.Equal) || !maps.Equal(here.tree(), there.tree()) {
		t.Error("what was fetched from the copy is something else")
	}
	if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
		t.Errorf("left in the scratch directory: %v, %v", left, err)
	}
}

func TestCopyRefusesDamage(t *testing.T) {
	from := openStore(t, "mem://")
	n := newNode(t)
	n.write(0, "a", "one")
	m, _ := n.commit(from, artifacts.Full, epoch, testImage(1, 100), "")
	for _, key := range objectsOf(t, from, m) {
		to := openStore(t, "mem://")
		good := mustRead(t, from, key)
		bad := bytes.Clone(good)
		bad[len(bad)/2] ^= 1
		mustPut(t, from, key, bad)
		if _, err := Copy(t.Context(), from, to, m.ID, t.TempDir(), nil); !errors.Is(err, errdefs.ErrDataLoss) {
			t.Errorf("copy with a flipped bit in %s: %v, want data loss", key, err)
		}
		if _, err := Get(t.Context(), to, m.ID); !errors.Is(err, errdefs.ErrNotFound) {
			t.Errorf("the copy is visible: %v", err)
		}
		mustPut(t, from, key, good)
	}
}

func TestRetentionKeepsWhatEitherRuleKeeps(t *testing.T) {
	var all []*artifacts.Manifest
	for i := range 6 {
		m := manifest(artifacts.NewID(epoch.Add(time.Duration(i)*time.Hour)), artifacts.Data)
		m.Sandbox.ID = []string{"a", "b"}[i%2]
		all = append(all, m)
	}
	now := epoch.Add(5 * time.Hour)
	for name, c := range map[string]struct {
		r    Retention
		want []int
	}{
		"nothing is said":  {Retention{}, nil},
		"last":             {Retention{KeepLast: 1}, []int{0, 1, 2, 3}},
		"last two":         {Retention{KeepLast: 2}, []int{0, 1}},
		"within":           {Retention{KeepWithin: 2 * time.Hour}, []int{0, 1, 2}},
		"last and within":  {Retention{KeepLast: 1, KeepWithin: 3 * time.Hour}, []int{0, 1}},
		"within for years": {Retention{KeepWithin: 1000 * time.Hour}, nil},
	} {
		var want []artifacts.ID
		for _, i := range c.want {
			want = append(want, all[i].ID)
		}
		var got []artifacts.ID
		for _, m := range c.r.Expired(all, now) {
			got = append(got, m.ID)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
