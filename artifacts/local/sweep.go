// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/artifacts"
)

// lock takes the lock that says that somebody works on the directory. It ends
// with the file, and so with the process: what a crash leaves is unlocked.
func lock(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, &os.PathError{Op: "flock", Path: dir, Err: err}
	}
	return f, nil
}

// Sweep deletes the drafts that nobody works on any more and returns their
// ids. A draft that is in use, in whatever process, stays.
func (s *Store) Sweep() ([]artifacts.ID, error) {
	ids, err := s.ids(draftsName)
	if err != nil {
		return nil, fmt.Errorf("sweep drafts: %w", err)
	}
	var swept []artifacts.ID
	for _, id := range ids {
		f, err := lock(s.draftDir(id))
		if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = s.disk.removeAll(s.draftDir(id))
			f.Close()
		}
		if err != nil {
			return swept, fmt.Errorf("sweep draft %s: %w", id, err)
		}
		swept = append(swept, id)
	}
	return swept, nil
}
