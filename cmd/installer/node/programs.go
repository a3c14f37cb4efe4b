// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// runscName is the program that a Full snapshot can be resumed by only if it is
// the one that made it; sidecarDir, beside it, holds what runsc starts.
const (
	runscName  = "runsc"
	sidecarDir = "gvisor-bin"
)

// keepBuild copies the runsc that is installed to builds/SHA256/ if another one is
// about to take its place: sandboxes sleep that only this one wakes up. The shim
// looks there (shim/builds.go).
func (o *Options) keepBuild(j *journal, bin string) error {
	old, err := os.ReadFile(j.at(filepath.Join(bin, runscName)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("keep runsc: %w", err)
	}
	next, err := os.ReadFile(filepath.Join(o.Source, runscName))
	if errors.Is(err, fs.ErrNotExist) || bytes.Equal(old, next) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("keep runsc: %w", err)
	}
	to := filepath.Join(o.Dir, "builds", digest(old))
	// runsc is written last: where it is, it is with what belongs to it, which may
	// have been replaced already by an installer that died.
	if _, err := os.Stat(j.at(filepath.Join(to, runscName))); err == nil {
		return nil
	}
	if err := copyTree(j, j.at(filepath.Join(bin, sidecarDir)), filepath.Join(to, sidecarDir), func(string) {}); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := j.write(filepath.Join(to, runscName), old, 0o755); err != nil {
		return err
	}
	o.logf("kept the runsc that was installed, in %s", to)
	return nil
}

// copyPrograms copies a tree of programs.
func (o *Options) copyPrograms(j *journal, to string) error {
	return copyTree(j, o.Source, to, func(path string) { o.logf("wrote %s", path) })
}

// copyTree copies a tree to the node; what a link points to is copied.
func copyTree(j *journal, source, to string, wrote func(path string)) error {
	return filepath.WalkDir(source, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("copy programs: %w", err)
		}
		fi, err := os.Stat(path)
		if err != nil || !fi.Mode().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(source, path)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		changed, err := j.write(filepath.Join(to, rel), content, 0o755)
		if changed && err == nil {
			wrote(filepath.Join(to, rel))
		}
		return err
	})
}
