// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cgroup reads the few things that the shim wants to know of a
// container's cgroup, on cgroup v1, v2 and the hybrid of both.
package cgroup

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A tree is a directory where cgroup file systems are mounted.
type tree string

// system is where every Linux system has them.
const system tree = "/sys/fs/cgroup"

// Unified says whether the machine has cgroup v2 alone.
func Unified() bool { return system.unified() }

func (t tree) unified() bool {
	_, err := os.Stat(filepath.Join(string(t), "cgroup.controllers"))
	return err == nil
}

// MemoryDir returns the directory of the cgroup's memory controller.
func MemoryDir(path string) string { return system.memoryDir(path) }

func (t tree) memoryDir(path string) string {
	path = fsPath(path)
	if t.unified() {
		return filepath.Join(string(t), path)
	}
	return filepath.Join(string(t), "memory", path)
}

// ForRunsc is the name of a cgroup that runsc is to be told. A systemd name is one that
// runsc understands where cgroup v2 is alone (its runsc/cgroup), and asks systemd for;
// elsewhere it would take the name for a directory's, below whatever cgroup it was
// started in, where nobody's limits hold.
func ForRunsc(path string) string { return system.forRunsc(path) }

func (t tree) forRunsc(path string) string {
	if t.unified() || !isSystemd(path) {
		return path
	}
	return filepath.Join("/", fsPath(path))
}

// isSystemd says whether systemd makes a cgroup of that name, rather than whoever
// uses it.
func isSystemd(path string) bool { return strings.Count(path, ":") == 2 }

// fsPath turns what an OCI spec calls a cgroup into a path: a systemd name
// "slice:prefix:name" means /…/slice/prefix-name.scope.
func fsPath(path string) string {
	if !isSystemd(path) {
		return path
	}
	parts := strings.Split(path, ":")
	slice, dir := parts[0], ""
	if slice == "" {
		slice = "system.slice" // systemd's own default
	}
	scope := parts[1] + "-" + parts[2] + ".scope"
	if slice == "-.slice" {
		return scope // the root
	}
	// "a-b.slice" lies in "a.slice".
	name := strings.TrimSuffix(slice, ".slice")
	for i, r := range name {
		if r == '-' {
			dir = filepath.Join(dir, name[:i]+".slice")
		}
	}
	return filepath.Join(dir, slice, scope)
}

// Slice returns the slice that systemd makes a cgroup in, if it makes it, else the
// cgroup itself. A scope goes with its last process, and what was counted in it.
func Slice(path string) string {
	if !isSystemd(path) {
		return path
	}
	return filepath.Dir(fsPath(path))
}

// OOMKills says how many processes of the cgroup the kernel has killed for want
// of memory since the cgroup was made; none if it cannot be read.
func OOMKills(path string) uint64 { return system.oomKills(path) }

func (t tree) oomKills(path string) uint64 {
	if path == "" {
		return 0
	}
	file := "memory.oom_control"
	if t.unified() {
		file = "memory.events"
	}
	f, err := os.Open(filepath.Join(t.memoryDir(path), file))
	if err != nil {
		return 0
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		key, value, _ := strings.Cut(s.Text(), " ")
		if n, err := strconv.ParseUint(value, 10, 64); key == "oom_kill" && err == nil {
			return n
		}
	}
	return 0
}
