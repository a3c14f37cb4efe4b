// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// ReadFile returns a file's content.
func ReadFile(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// ChangedAfter returns the paths, below dir, of the files that came to their
// names later than one of them did: a rename changes an inode's time, and not
// that of its content.
func ChangedAfter(t testing.TB, dir, name string) []string {
	t.Helper()
	limit := changed(t, filepath.Join(dir, name))
	var later []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && changed(t, path).After(limit) {
			later = append(later, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return later
}

func changed(t testing.TB, path string) time.Time {
	t.Helper()
	var stat unix.Stat_t
	if err := unix.Lstat(path, &stat); err != nil {
		t.Fatal(err)
	}
	return time.Unix(stat.Ctim.Unix())
}
