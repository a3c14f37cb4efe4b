// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package dirlock locks directories. A lock goes where its directory goes, and ends with its
// file, and so with its process; what the process starts does not inherit it. The package
// must never make, move or remove a directory.
package dirlock

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Lock opens and locks dir; how is flock(2)'s. The error is EWOULDBLOCK where somebody has it
// and how does not wait, and fs.ErrNotExist where dir is not there, or what was locked is
// not at dir any more. The caller closes the file.
func Lock(dir string, how int) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := Flock(f, how); err != nil {
		f.Close()
		return nil, &fs.PathError{Op: "lock", Path: dir, Err: err}
	}
	mine, err := f.Stat()
	now, nowErr := os.Stat(dir)
	if err := errors.Join(err, nowErr); err != nil {
		f.Close()
		return nil, err
	}
	if !os.SameFile(mine, now) {
		f.Close()
		return nil, &fs.PathError{Op: "lock", Path: dir, Err: fs.ErrNotExist}
	}
	return f, nil
}

// Flock is flock(2), called again when a signal came between.
func Flock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
