// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// How often and how long RemoveTree tries again.
const (
	removeTries = 40
	removePause = 25 * time.Millisecond
)

// RemoveTree deletes dir and all in it, although a process that is about to
// end, such as a gofer whose sandbox has just been deleted, may still write a
// file there.
func RemoveTree(dir string) error {
	for try := 1; ; try++ {
		err := os.RemoveAll(dir)
		if !errors.Is(err, unix.ENOTEMPTY) || try == removeTries {
			return err
		}
		time.Sleep(removePause)
	}
}
