// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sweep removes from a node what dead shims have left, and nothing that
// a living one or a running sandbox uses. Whoever is alive holds a lock, and
// locks end with their process: after a reboot nothing is in use, and no list of what
// was has to be kept. DurableDirs are set aside, never deleted; they have a lock of their own,
// since configurations with other run directories may have the same state directory.
//
// containerd cleans up after a shim that dies as soon as it notices, by the
// shim's delete action. What it does not know of any more, because its own state was
// volatile too, or because it was told to forget, is left to this package.
package sweep

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/artifacts/local"
	"github.com/ateom/ateom/shim/config"
	"github.com/ateom/ateom/shim/network"
	"github.com/ateom/ateom/shim/roster"
	"github.com/ateom/ateom/shim/rundir"
	"github.com/ateom/ateom/shim/volumes"
)

// youth is the age below which nothing is touched that has no lock of its own:
// its maker may be about to use it, or containerd about to clean up.
const youth = time.Minute

// A Mode says what a sweep does about what it finds.
type Mode bool

const (
	List   Mode = false
	Delete Mode = true
)

// Node sweeps the directories of a node's configuration, and returns the paths
// of what was left over. What cannot be removed does not keep it from the rest.
func Node(cfg *config.Config, mode Mode) ([]string, error) {
	s := &sweeper{cfg: cfg, mode: mode, roots: map[string]bool{}}
	var errs []error
	for _, step := range []func() error{s.sandboxes, s.runscRoots, s.checks, s.sockets} {
		errs = append(errs, step())
	}
	return s.found, errors.Join(errs...)
}

type sweeper struct {
	cfg   *config.Config
	mode  Mode
	roots map[string]bool // of runsc, that belong to a sandbox by name
	found []string
	// commands are the command lines of all processes, once they were asked for.
	commands []string
}

// sandboxes sweeps what belongs to a sandbox by its name.
func (s *sweeper) sandboxes() error {
	var errs []error
	for _, name := range s.names() {
		if err := s.sandbox(name[0], name[1]); err != nil {
			errs = append(errs, fmt.Errorf("sweep sandbox %s of namespace %s: %w", name[1], name[0], err))
		}
	}
	return errors.Join(errs...)
}

// names are the namespaces and ids of all sandboxes that have something here.
func (s *sweeper) names() (all [][2]string) {
	for _, pattern := range []string{rundir.Sandbox(s.cfg.RunDir, "*", "*"), volumes.Dir(s.cfg.StateDir, "*", "*")} {
		dirs, _ := filepath.Glob(pattern) // fails for bad patterns alone
		for _, dir := range dirs {
			name := [2]string{filepath.Base(filepath.Dir(dir)), filepath.Base(dir)}
			if !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return all
}

func (s *sweeper) sandbox(namespace, id string) error {
	scratch := rundir.Sandbox(s.cfg.RunDir, namespace, id)
	root := rundir.Runsc(s.cfg.RunDir, namespace, id)
	lost := volumes.Dir(s.cfg.StateDir, namespace, id)
	s.roots[root] = true
	left := slices.DeleteFunc([]string{scratch, root, lost}, func(path string) bool { return !exists(path) })
	if exists(lost) && s.isElsewhere(namespace, id) {
		left = slices.DeleteFunc(left, func(path string) bool { return path == lost })
	}
	if len(left) == 0 {
		return nil
	}
	// To take a place is to make its directory, which a list must not.
	if s.mode == Delete || exists(scratch) {
		place, err := roster.TakeDead(scratch)
		if err != nil || place == nil {
			return err
		}
		defer place.Leave()
	}
	if s.isRunning(root) {
		// The shim died and its sandbox did not: containerd will see to it. Nobody
		// will to a place that was removed just now and made again to be taken.
		_ = os.Remove(scratch) // fails if there is anything in it
		return nil
	}
	s.found = append(s.found, left...)
	if s.mode == List {
		return nil
	}
	return errors.Join(
		network.Remove(rundir.Netns(scratch)),
		removeMounted(root),
		s.setAside(lost),
		removeMounted(scratch),
	)
}

// isElsewhere reports whether the volumes belong to a sandbox that lives, whatever its run
// directory: its shim holds them, or has died and the sandbox runs on.
func (s *sweeper) isElsewhere(namespace, id string) bool {
	return volumes.InUse(volumes.Dir(s.cfg.StateDir, namespace, id)) || s.isRunning(rundir.RunscEnd(namespace, id))
}

func (s *sweeper) setAside(lost string) error {
	err := volumes.SetAside(s.cfg.StateDir, lost)
	if errors.Is(err, volumes.ErrInUse) { // since a moment ago
		return nil
	}
	return err
}

// runscRoots sweeps the directories of runsc that no sandbox has any more.
func (s *sweeper) runscRoots() error { return s.unused(rundir.RunscPattern(s.cfg.RunDir)) }

// checks sweeps what side-cars have left that were killed while they proved that
// they fit.
func (s *sweeper) checks() error { return s.unused(filepath.Join(rundir.Checks(s.cfg.RunDir), "*")) }

// unused sweeps the directories that match pattern and that no process uses.
func (s *sweeper) unused(pattern string) error {
	dirs, _ := filepath.Glob(pattern) // fails for bad patterns alone
	var errs []error
	for _, dir := range dirs {
		if s.roots[dir] || isYoung(dir) || s.isRunning(dir) {
			continue
		}
		s.found = append(s.found, dir)
		if s.mode == Delete {
			errs = append(errs, removeMounted(dir))
		}
	}
	return errors.Join(errs...)
}

// sockets sweeps what processes that died have left beside the sandboxes'
// directories, where paths are short enough for a socket's address.
func (s *sweeper) sockets() error {
	entries, err := os.ReadDir(s.cfg.RunDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var errs []error
	for _, e := range entries {
		path := filepath.Join(s.cfg.RunDir, e.Name())
		if !rundir.IsSocket(e.Name()) || isYoung(path) || isListened(path) {
			continue
		}
		s.found = append(s.found, path)
		if s.mode == Delete {
			errs = append(errs, os.RemoveAll(path))
		}
	}
	return errors.Join(append(errs, err)...)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func isYoung(path string) bool {
	fi, err := os.Lstat(path)
	return err == nil && time.Since(fi.ModTime()) < youth
}

// isRunning reports whether a process of a sandbox, or a runsc, uses dir: all of
// them have it in their command line.
func (s *sweeper) isRunning(dir string) bool {
	if s.commands == nil {
		files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, f := range files {
			if line, err := os.ReadFile(f); err == nil { // else it has ended
				s.commands = append(s.commands, string(line))
			}
		}
	}
	return slices.ContainsFunc(s.commands, func(line string) bool { return strings.Contains(line, dir) })
}

// isListened reports whether somebody answers on the socket path, or on a
// socket in the directory path.
func isListened(path string) bool {
	sockets, _ := filepath.Glob(filepath.Join(path, "*"))
	return slices.ContainsFunc(append(sockets, path), connects)
}

func connects(path string) bool {
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// removeMounted removes a directory, and what is mounted in it, which is ours:
// network namespaces, and nothing that holds files.
func removeMounted(dir string) error {
	if err := mount.UnmountRecursive(dir, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount below %s: %w", dir, err)
	}
	return local.RemoveTree(dir)
}
