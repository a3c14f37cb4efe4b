// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Names of the files, and how much the first may hold: some ten thousand verbs.
const (
	dirName  = "journal"
	fileName = "verbs.jsonl"
	maxBytes = 4 << 20
)

// Path is the journal of the node that has that run-dir.
func Path(runDir string) string { return filepath.Join(runDir, dirName, fileName) }

// full is the name of the file before.
func full(path string) string { return path + ".1" }

// Append adds an entry with one write, which the kernel does not mix with
// those of other shims. A full journal is renamed by whoever gets its lock;
// the others write on into the one that they have opened.
func Append(runDir string, e *Entry) error { return appendTo(Path(runDir), e, maxBytes) }

func appendTo(path string, e *Entry, limit int64) error {
	line, err := e.encode()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("append to journal: %w", err)
	}
	f, err := openToAppend(path)
	if err != nil {
		return err
	}
	defer func() { f.Close() }()
	rotated, err := rotate(f, path, limit)
	if err != nil {
		return err
	}
	if rotated {
		f.Close()
		if f, err = openToAppend(path); err != nil {
			return err
		}
	}
	if _, err := f.Write(line); err != nil {
		return fmt.Errorf("append to journal: %w", err)
	}
	return nil
}

func openToAppend(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("append to journal: %w", err)
	}
	return f, nil
}

// rotate renames the file if it is full, unless somebody else is about to or
// has done so.
func rotate(f *os.File, path string, limit int64) (rotated bool, err error) {
	fi, err := f.Stat()
	if err != nil || fi.Size() < limit {
		return false, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return false, nil // another shim holds it for a moment, and renames
	}
	now, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("rotate journal: %w", err)
	}
	if os.SameFile(fi, now) {
		if err := os.Rename(path, full(path)); err != nil {
			return false, fmt.Errorf("rotate journal: %w", err)
		}
	}
	return true, nil
}
