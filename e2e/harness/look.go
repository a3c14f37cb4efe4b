// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"io/fs"
	"path/filepath"
	"testing"
)

// A Sight is what there was at a moment: processes, mounts, cgroups, interfaces,
// sockets, and the files below some directories.
type Sight struct {
	things inventory
	dirs   []string
}

// Look lists what there is, with all files below dirs.
func Look(t testing.TB, dirs ...string) *Sight {
	t.Helper()
	things, err := look(dirs)
	if err != nil {
		t.Fatal(err)
	}
	return &Sight{things, dirs}
}

func look(dirs []string) (inventory, error) {
	things, err := takeInventory(here)
	if err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err == nil {
				things["file "+path] = true
			}
			return ignoreMissing(err)
		})
		if err != nil {
			return nil, err
		}
	}
	return things, nil
}

// WantNothingMore fails the test unless all that was not there then is gone
// within Limit.
func (s *Sight) WantNothingMore(t testing.TB) {
	t.Helper()
	if err := s.things.compareTo(func() (inventory, error) { return look(s.dirs) }, Limit); err != nil {
		t.Error(err)
	}
}
