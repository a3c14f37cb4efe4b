// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package replace

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestFilesAreReplaced(t *testing.T) {
	for name, put := range map[string]func(string, []byte, os.FileMode) error{"volatile": File, "durable": Durably} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			// What a crash left is longer than what comes.
			if err := os.WriteFile(path+Suffix, []byte(strings.Repeat("x", 100)), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"first", "", "third"} {
				if err := put(path, []byte(want), 0o600); err != nil {
					t.Fatal(err)
				}
				if got, err := os.ReadFile(path); err != nil || string(got) != want {
					t.Errorf("%q, %v; want %q", got, err, want)
				}
			}
			entries, err := os.ReadDir(filepath.Dir(path))
			if err != nil || len(entries) != 1 {
				t.Errorf("beside the file: %v, %v", entries, err)
			}
			if err := put(filepath.Join(path, "below"), nil, 0o600); err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("below a file: %v", err)
			}
		})
	}
}

// What cannot be written leaves what was there.
func TestAFullDiskChangesNothing(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=16k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	path := filepath.Join(dir, "file")
	if err := File(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, put := range map[string]func(string, []byte, os.FileMode) error{"volatile": File, "durable": Durably} {
		if err := put(path, make([]byte, 64<<10), 0o600); err == nil {
			t.Errorf("%s: 64 KiB on a disk of 16", name)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != "old" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if _, err := os.Stat(path + Suffix); err == nil {
			t.Errorf("%s: the half file stays", name)
		}
	}
}

func TestFilesAreRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := Durably(path, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, how := range []string{"that is there", "that is not"} {
		if err := Remove(path); err != nil {
			t.Errorf("a file %s: %v", how, err)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("a file %s is there", how)
		}
	}
	if err := Durably(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Remove(filepath.Join(path, "below")); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("below a file: %v", err)
	}
}
