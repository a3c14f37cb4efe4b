// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

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
// ids. A draft that is in use, in whatever process, stays. It also deletes what
// is left of removed snapshots and of drafts that were never finished.
func (s *Store) Sweep() ([]artifacts.ID, error) {
	if err := s.sweepRemains(time.Now()); err != nil {
		return nil, fmt.Errorf("sweep drafts: %w", err)
	}
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

// makingPrefix begins the names of drafts before they are locked. It is no
// character of an id.
const makingPrefix = "making-"

// makingTime is how long a draft may take to be locked: after that its maker
// is gone.
const makingTime = time.Minute

// sweepRemains deletes what never gets or has no longer a name of its own.
func (s *Store) sweepRemains(now time.Time) error {
	dir := filepath.Join(s.dir, draftsName)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		removed := strings.HasPrefix(e.Name(), trashPrefix)
		unmade := strings.HasPrefix(e.Name(), makingPrefix) && now.Sub(info.ModTime()) > makingTime
		if !removed && !unmade {
			continue
		}
		if err := s.disk.removeAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
