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

// A SweepMode says what Sweep does about what it finds.
type SweepMode bool

const (
	// ListLeftovers changes nothing.
	ListLeftovers SweepMode = false
	// DeleteLeftovers frees the space.
	DeleteLeftovers SweepMode = true
)

// A Leftover is what somebody who is gone had not finished, or not finished deleting.
type Leftover struct {
	// Path is relative to the store's directory.
	Path string
	// Bytes is the space that it takes on the disk.
	Bytes int64
}

// makingPrefix begins the names of drafts before they are locked. It is no
// character of an id.
const makingPrefix = "making-"

// makingTime is how long a draft may take to be locked: after that its maker
// is gone.
const makingTime = time.Minute

// Sweep finds what is left of crashes: drafts that nobody works on any more,
// those that were never finished being made, and what is left of removed
// snapshots and discarded trees. What is locked, by whatever process, is none of these: two
// sweeps share the work. Locks end with their process, so that after a reboot nothing is in use.
func (s *Store) Sweep(mode SweepMode) ([]Leftover, error) {
	dir := filepath.Join(s.dir, draftsName)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("sweep drafts: %w", err)
	}
	var found []Leftover
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		release, err := s.abandoned(path)
		if err != nil {
			return found, fmt.Errorf("sweep %s: %w", path, err)
		}
		if release == nil {
			continue
		}
		l := Leftover{Path: filepath.Join(draftsName, e.Name()), Bytes: diskUsage(path)}
		if mode == DeleteLeftovers {
			err = s.disk.removeAll(path)
		}
		release()
		if err != nil {
			return found, fmt.Errorf("sweep %s: %w", path, err)
		}
		found = append(found, l)
	}
	return found, nil
}

// abandoned reports by a function that is not nil that what lies at path in
// the directory of drafts is nobody's; it stays so until that is called.
func (s *Store) abandoned(path string) (release func(), err error) {
	name := filepath.Base(path)
	_, idErr := artifacts.ParseID(name)
	switch {
	case idErr == nil, strings.HasPrefix(name, trashPrefix):
		f, err := lock(path)
		if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		return func() { f.Close() }, nil
	case strings.HasPrefix(name, makingPrefix):
		info, err := os.Lstat(path)
		if err == nil && time.Since(info.ModTime()) > makingTime {
			return func() {}, nil
		}
	}
	return nil, nil
}

// diskUsage returns the space that a tree takes, as far as it can be read:
// others may be deleting it.
func diskUsage(dir string) (bytes int64) {
	_ = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, _ error) error {
		var st unix.Stat_t
		if unix.Lstat(path, &st) == nil {
			bytes += st.Blocks * 512 // on every file system
		}
		return nil
	})
	return bytes
}
