// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/ateom/ateom/e2e/spaces"
)

// An inventory is what tests could leave behind: each thing as a line that
// says what it is.
type inventory map[string]bool

// leakLimit is how long things may take to be gone after the last test: the
// ends of processes that were killed are not instantaneous.
const leakLimit = 5 * time.Second

// compare returns an error that lists what is there now and was not before,
// and is not gone within limit.
func (before inventory) compare(r *room, limit time.Duration) error {
	return before.compareTo(func() (inventory, error) { return takeInventory(r) }, limit)
}

// compareTo is compare with what take lists.
func (before inventory) compareTo(take func() (inventory, error), limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for {
		now, err := take()
		if err != nil {
			return err
		}
		var left []string
		for thing := range now {
			if !before[thing] {
				left = append(left, thing)
			}
		}
		if len(left) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			slices.Sort(left)
			return fmt.Errorf("the tests left behind:\n  %s", strings.Join(left, "\n  "))
		}
		time.Sleep(pollPeriod)
	}
}

// Count says how many things there are of each kind that tests could leave behind.
func Count(t testing.TB) map[string]int {
	t.Helper()
	things, err := takeInventory(here)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for thing := range things {
		kind, _, _ := strings.Cut(thing, " ")
		counts[kind]++
	}
	return counts
}

// takeInventory lists what there is.
func takeInventory(r *room) (inventory, error) {
	things := inventory{}
	var errs []error
	for what, list := range map[string]func(*room) ([]string, error){
		"process": processes, "mount": mounts, "cgroup": cgroups, "interface": interfaces,
		"socket": sockets, "file": files,
	} {
		names, err := list(r)
		if err != nil {
			errs = append(errs, fmt.Errorf("list each %s: %w", what, err))
		}
		for _, name := range names {
			things[what+" "+name] = true
		}
	}
	return things, errors.Join(errs...)
}

// processes lists all of the PID namespace but process 1 and this one.
func processes(*room) ([]string, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == 1 || pid == os.Getpid() {
			continue
		}
		// One that ends meanwhile has no files any more.
		args, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err != nil {
			continue
		}
		out = append(out, fmt.Sprintf("%d: %s", pid, bytes.ReplaceAll(bytes.TrimRight(args, "\x00"), []byte{0}, []byte{' '})))
	}
	return out, nil
}

// mounts lists the mount points, network namespaces' included.
func mounts(*room) ([]string, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var out []string
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 4 {
			out = append(out, f[4])
		}
	}
	return out, nil
}

// cgroupRoot is where all hierarchies are mounted.
const cgroupRoot = "/sys/fs/cgroup"

// cgroupParents lists the cgroups that are named by the run's word: containers'
// cgroups lie in them.
func cgroupParents(r *room) ([]string, error) {
	var out []string
	for _, pattern := range []string{"*", "*/*"} {
		dirs, err := filepath.Glob(filepath.Join(cgroupRoot, pattern, r.word+"*"))
		if err != nil {
			return nil, err
		}
		out = append(out, dirs...)
	}
	direct, err := filepath.Glob(filepath.Join(cgroupRoot, r.word+"*"))
	return append(out, direct...), err
}

// MakeCgroup makes a cgroup of the run in every hierarchy and returns its path
// below them, without a slash before it. It goes with the run.
func MakeCgroup(name string) (string, error) {
	name = here.word + "-" + name
	hierarchies, err := filepath.Glob(filepath.Join(cgroupRoot, "*", "cgroup.procs"))
	if err != nil {
		return "", err
	}
	if len(hierarchies) == 0 {
		hierarchies = []string{filepath.Join(cgroupRoot, "cgroup.procs")}
	}
	for _, h := range hierarchies {
		dir := filepath.Join(filepath.Dir(h), name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", fmt.Errorf("make cgroup: %w", err)
		}
		// A v1 cpuset starts empty, and nothing could be placed into it.
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			b, err := os.ReadFile(filepath.Join(filepath.Dir(h), file))
			if err != nil {
				continue // another controller
			}
			if err := os.WriteFile(filepath.Join(dir, file), b, 0o644); err != nil {
				return "", fmt.Errorf("make cgroup: %w", err)
			}
		}
	}
	return name, nil
}

// RemoveCgroup removes a cgroup of MakeCgroup, which must be empty, before the run
// ends.
func RemoveCgroup(name string) error {
	parents, err := cgroupParents(&room{word: here.word + "-" + name})
	errs := []error{err}
	for _, dir := range parents {
		errs = append(errs, ignoreMissing(os.Remove(dir)))
	}
	return errors.Join(errs...)
}

// EmptyCgroups removes all that is below the cgroups of MakeCgroup.
func EmptyCgroups() error {
	children, err := cgroups(here)
	var errs []error
	for _, dir := range slices.Backward(children) {
		errs = append(errs, ignoreMissing(os.Remove(dir)))
	}
	return errors.Join(append(errs, err)...)
}

// cgroups lists what is left in the cgroups of the run's containerd namespaces.
// The parents themselves may stay as long as a node lives: runsc, like others,
// removes only what it made last.
func cgroups(r *room) ([]string, error) {
	parents, err := cgroupParents(r)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, parent := range parents {
		err := filepath.WalkDir(parent, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() && path != parent {
				out = append(out, path)
			}
			return ignoreMissing(err)
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// removeCgroups removes the parents with all that is in them, which must be
// without processes.
func removeCgroups(r *room) error {
	parents, err := cgroupParents(r)
	if err != nil {
		return err
	}
	children, err := cgroups(r)
	if err != nil {
		return err
	}
	// What was listed later lies deeper.
	var errs []error
	for _, dir := range slices.Backward(append(parents, children...)) {
		errs = append(errs, ignoreMissing(os.Remove(dir)))
	}
	return errors.Join(errs...)
}

// interfaces lists the network interfaces: the hosts' ends of namespaces' links.
func interfaces(*room) ([]string, error) {
	links, err := netlink.LinkList()
	var out []string
	for _, l := range links {
		out = append(out, l.Attrs().Name)
	}
	return out, err
}

// sockets lists the unix sockets with a path, of this network namespace.
func sockets(*room) ([]string, error) {
	b, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		return nil, err
	}
	var out []string
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 8 && f[0] != "Num" {
			out = append(out, f[7])
		}
	}
	return out, nil
}

// files lists what lies in the run's directories and among the shims' sockets.
// Nodes see to their own directories when they are closed.
func files(r *room) ([]string, error) {
	var out []string
	for _, dir := range []string{r.dir, filepath.Join(r.dir, "tmp"), filepath.Join(r.dir, "net"), filepath.Join(spaces.ShimSockets, "s")} {
		entries, err := os.ReadDir(dir)
		if err := ignoreMissing(err); err != nil {
			return nil, err
		}
		for _, e := range entries {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	return out, nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
