// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/durabledir/treetest"
)

func TestPrepareMakesTheDirectoryAsDeclared(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	uid, gid := 1234, 4321
	for name, test := range map[string]struct {
		decl Declaration
		mode os.FileMode
	}{
		"default": {Declaration{Name: "v"}, os.ModeDir | 0o777},
		"all":     {Declaration{Name: "v", UID: &uid, GID: &gid, Mode: "2750"}, os.ModeDir | os.ModeSetgid | 0o750},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "v")
			if err := Prepare(dir, test.decl); err != nil {
				t.Fatal(err)
			}
			info, err := os.Lstat(dir)
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode() != test.mode {
				t.Errorf("mode %v, want %v", info.Mode(), test.mode)
			}
			if st := info.Sys().(*syscall.Stat_t); test.decl.UID != nil && (int(st.Uid) != uid || int(st.Gid) != gid) {
				t.Errorf("owner %d:%d, want %d:%d", st.Uid, st.Gid, uid, gid)
			}
		})
	}
}

func TestPrepareLeavesWhatExists(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "v")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Prepare(dir, Declaration{Name: "v", Mode: "0755"}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(dir); err != nil || info.Mode() != os.ModeDir|0o700 {
		t.Errorf("got %v, %v; want the mode it had", info.Mode(), err)
	}
	if names := namesIn(t, parent); len(names) != 1 {
		t.Errorf("left behind beside the volume: %q", names)
	}
}

func TestPrepareRefusesAFileAndASymlink(t *testing.T) {
	parent := t.TempDir()
	treetest.Write(t, filepath.Join(parent, "file"), "x")
	if err := os.Symlink(t.TempDir(), filepath.Join(parent, "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"file", "link"} {
		if err := Prepare(filepath.Join(parent, name), Declaration{Name: "v"}); !errors.Is(err, errdefs.ErrFailedPrecondition) {
			t.Errorf("%s: error %v, want ErrFailedPrecondition", name, err)
		}
	}
}

// namesIn returns the names in a directory.
func namesIn(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names
}
