// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/pkg/shim"
)

// Belongings lists what the node has: its processes but containerd, with their command lines,
// mounts, cgroups, unix sockets, and the files of ateom and of containerd's bundles.
func (n *Node) Belongings(t testing.TB) []string {
	t.Helper()
	all, err := n.belongings()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (n *Node) belongings() (all []string, err error) {
	running, err := processes(here)
	if err != nil {
		return nil, err
	}
	for _, p := range running {
		number, args, _ := strings.Cut(p, ": ")
		if pid, err := strconv.Atoi(number); err == nil && pid != n.cmd.Process.Pid && n.Owns(pid) {
			all = append(all, "process "+args)
		}
	}
	for kind, list := range map[string]func(*room) ([]string, error){"mount": mounts, "socket": sockets} {
		names, err := list(here)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if strings.HasPrefix(name, n.Dir+"/") {
				all = append(all, kind+" "+name)
			}
		}
	}
	groups, err := cgroups(here)
	if err != nil {
		return nil, err
	}
	for _, dir := range groups {
		if strings.Contains(dir, "/"+n.Namespace+"/") {
			all = append(all, "cgroup "+dir)
		}
	}
	bundles := filepath.Join(n.Dir, "state", "io.containerd.runtime.v2.task", "*", "*")
	found, err := filepath.Glob(bundles)
	if err != nil {
		return nil, err
	}
	for _, path := range found {
		if !strings.HasPrefix(filepath.Base(path), ".") { // see leftovers
			all = append(all, "bundle "+path)
		}
	}
	for _, dir := range []string{n.Config.StateDir, n.Config.RunDir} {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err == nil {
				all = append(all, "file "+path)
			}
			return ignoreMissing(err)
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// ShimSocket is the path of the socket of the task's shim.
func (task *Task) ShimSocket(t testing.TB) string {
	t.Helper()
	address, err := shim.SocketAddress(task.Node.Context(t), task.Node.Address, task.ID, false)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(address, "unix://")
}
