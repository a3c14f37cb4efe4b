// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// tree makes a directory with something in it below the store's.
func tree(t *testing.T, s *Store, name string) string {
	t.Helper()
	dir := filepath.Join(s.Dir(), name)
	if err := os.MkdirAll(filepath.Join(dir, "home", "deep"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "home", "file"), []byte("bytes"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// wantNothing fails the test if there is anything in the store's directories.
func wantNothing(t *testing.T, s *Store, names ...string) {
	t.Helper()
	for _, name := range append(names, draftsName) {
		if left, err := os.ReadDir(filepath.Join(s.Dir(), name)); err != nil || len(left) > 0 {
			t.Errorf("%s has %v, %v, want nothing", name, left, err)
		}
	}
}

func TestDiscardRemovesATree(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	box := tree(t, s, "volumes/box")
	for range 2 { // the second time there is none
		if err := s.Discard(box); err != nil {
			t.Fatal(err)
		}
		wantNothing(t, s, "volumes")
	}
}

// A discard that was cut off is finished by a sweep, once nobody is at it any more; where the
// rename was still to come, the tree is whole.
func TestADiscardThatWasCutOffIsSwept(t *testing.T) {
	for steps := range 2 {
		disk := newCrashDisk(-1)
		s, err := open(filepath.Join(t.TempDir(), "store"), disk)
		if err != nil {
			t.Fatal(err)
		}
		box := tree(t, s, "volumes/box")
		held, err := lock(box)
		if err != nil {
			t.Fatal(err)
		}
		disk.steps = steps
		if err := s.Discard(box); !errors.Is(err, errCrash) {
			t.Fatalf("Discard = %v, want a power cut", err)
		}
		disk.steps = -1
		_, err = os.Stat(filepath.Join(box, "home", "file"))
		if moved := errors.Is(err, os.ErrNotExist); moved != (steps == 1) {
			t.Errorf("after %d steps the tree was moved: %v", steps, moved)
		}
		if found, err := s.Sweep(DeleteLeftovers); err != nil || len(found) > 0 {
			t.Errorf("a sweep takes %v, %v, which somebody removes", found, err)
		}
		held.Close() // as the end of its process does
		if found, err := s.Sweep(DeleteLeftovers); err != nil || len(found) != steps {
			t.Errorf("after %d steps a sweep takes %v, %v", steps, found, err)
		}
		wantNothing(t, s)
	}
}

// Where somebody has mounted a file system for the volumes, nothing can be moved out of it.
func TestDiscardOnAnotherFileSystem(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	mountPoint := filepath.Join(s.Dir(), "volumes")
	if err := os.Mkdir(mountPoint, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", mountPoint, "tmpfs", 0, ""); err != nil {
		t.Fatalf("mount a file system (as root): %v", err)
	}
	defer unix.Unmount(mountPoint, unix.MNT_DETACH)
	if err := s.Discard(tree(t, s, "volumes/box")); err != nil {
		t.Error(err)
	}
	wantNothing(t, s, "volumes")
}
