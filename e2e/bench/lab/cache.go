// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Recall brings all files below dir into the page cache, as if they had just
// been written through it.
func Recall(dir string) error {
	return eachFile(dir, func(f *os.File) error {
		_, err := io.Copy(io.Discard, f)
		return err
	})
}

// Forget takes all files below dir out of the page cache, as if they had been
// written long ago. What is dirty stays: call Settle before.
func Forget(dir string) error {
	return eachFile(dir, func(f *os.File) error {
		return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	})
}

func eachFile(dir string, do func(*os.File) error) error {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return do(f)
	})
	if err != nil {
		return fmt.Errorf("page cache of %s: %w", dir, err)
	}
	return nil
}
