// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"io/fs"
	"os"
)

// A disk is what publishing does to the file system, one method a step that a
// crash can fall between. Nothing is durable before its sync method returns:
// a file's bytes by syncFile, its name and those of its siblings by syncDir.
type disk interface {
	mkdir(path string) error
	// writeFile makes a file with mode 0600 or replaces its content.
	writeFile(path string, data []byte) error
	chmod(path string, mode fs.FileMode) error
	syncFile(path string) error
	syncDir(path string) error
	rename(from, to string) error
	removeAll(path string) error
}

// osDisk is the node's file system.
type osDisk struct{}

func (osDisk) mkdir(path string) error { return os.Mkdir(path, dirMode) }

func (osDisk) writeFile(path string, data []byte) error { return os.WriteFile(path, data, fileMode) }

func (osDisk) chmod(path string, mode fs.FileMode) error { return os.Chmod(path, mode) }

func (osDisk) syncFile(path string) error { return syncPath(path) }

func (osDisk) syncDir(path string) error { return syncPath(path) }

func (osDisk) rename(from, to string) error { return os.Rename(from, to) }

func (osDisk) removeAll(path string) error { return os.RemoveAll(path) }

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	err = f.Sync()
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}
