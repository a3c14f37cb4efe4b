// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package replace writes small files whole or not at all.
package replace

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Suffix ends the name of a file on its way. One that a crash left is
// written over by the next.
const Suffix = ".new"

// File replaces what path names, for a file that need not survive a power cut.
// Two may not write to one path at the same time. Errors name the path.
func File(path string, content []byte, mode os.FileMode) error {
	return write(path, content, mode, (*os.File).Close)
}

// Durably is File for what must be there, as it was or as it is, after a power cut.
func Durably(path string, content []byte, mode os.FileMode) error {
	err := write(path, content, mode, func(f *os.File) error { return errors.Join(f.Sync(), f.Close()) })
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// Remove removes a file, which need not be there and is not any more after a power
// cut. Errors name the path.
func Remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func write(path string, content []byte, mode os.FileMode, finish func(*os.File) error) error {
	f, err := os.OpenFile(path+Suffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, finish(f)); err != nil {
		return errors.Join(err, os.Remove(path+Suffix))
	}
	return os.Rename(path+Suffix, path)
}
