// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// busyPeriod is between two attempts to remove a cgroup whose processes were
// killed a moment ago.
const busyPeriod = 5 * time.Millisecond

// Remove removes a container's cgroup from every hierarchy. One that has processes, or
// other cgroups in it, stays; those that end before ctx does are waited for. What is
// not there is no error.
func Remove(ctx context.Context, path string) error { return system.remove(ctx, path) }

func (t tree) remove(ctx context.Context, path string) error {
	var errs []error
	for _, dir := range t.dirs(path) {
		errs = append(errs, removeDir(ctx, dir))
	}
	return errors.Join(errs...)
}

// Exists says whether a cgroup is there already, in any hierarchy.
func Exists(path string) bool { return len(system.dirs(path)) > 0 }

// dirs returns the directories of a cgroup that are there.
func (t tree) dirs(path string) []string {
	path = filepath.Join("/", fsPath(path))
	if path == "/" {
		return nil // none of its own
	}
	dirs := []string{filepath.Join(string(t), path)}
	if !t.unified() {
		hierarchies, _ := filepath.Glob(filepath.Join(string(t), "*")) // fails for bad patterns alone
		dirs = nil
		for _, h := range hierarchies {
			dirs = append(dirs, filepath.Join(h, path))
		}
	}
	return slices.DeleteFunc(dirs, func(dir string) bool {
		_, err := os.Stat(dir)
		return err != nil
	})
}

func removeDir(ctx context.Context, dir string) error {
	for {
		err := os.Remove(dir)
		switch {
		case err == nil, errors.Is(err, fs.ErrNotExist):
			return nil
		case !errors.Is(err, unix.EBUSY):
			return fmt.Errorf("remove cgroup: %w", err)
		}
		select {
		case <-time.After(busyPeriod):
		case <-ctx.Done():
			return fmt.Errorf("remove cgroup: %w", err)
		}
	}
}
