// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestSystemdNamesBecomePaths(t *testing.T) {
	for name, want := range map[string]string{
		"/kubepods/pod1/c1":                "/kubepods/pod1/c1",
		"system.slice:cri-containerd:c1":   "system.slice/cri-containerd-c1.scope",
		"kubepods-besteffort.slice:cri:c1": "kubepods.slice/kubepods-besteffort.slice/cri-c1.scope",
		"a-b-c.slice:x:y":                  "a.slice/a-b.slice/a-b-c.slice/x-y.scope",
		"-.slice:x:y":                      "x-y.scope",
		":cri-containerd:c1":               "system.slice/cri-containerd-c1.scope",
		"relative/path":                    "relative/path",
		"/odd:name":                        "/odd:name",
		"":                                 "",
	} {
		if got := fsPath(name); got != want {
			t.Errorf("fsPath(%q) = %q, want %q", name, got, want)
		}
	}
}

// What containerd's CRI plugin names where kubelet has the cgroup driver systemd: the
// last part of the parent that kubelet gives, its own prefix, and the container's id.
func TestNamesOfASystemdNode(t *testing.T) {
	const id = "2d5c6330afb770e58be5870acad99eafe6e996a6599d8ae34f1be6f6392ef13f"
	v1, v2 := newTree(t, map[string]string{"unified/cgroup.controllers": ""}), newTree(t, map[string]string{"cgroup.controllers": "memory"})
	for parent, slice := range map[string]string{ // by quality of service
		"kubepods-pod3058aa10_b513_4d2e_a0d8_2e3b33800ce1.slice":            "kubepods.slice/kubepods-pod3058aa10_b513_4d2e_a0d8_2e3b33800ce1.slice",
		"kubepods-burstable-pod3058aa10_b513_4d2e_a0d8_2e3b33800ce1.slice":  "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod3058aa10_b513_4d2e_a0d8_2e3b33800ce1.slice",
		"kubepods-besteffort-pod3058aa10_b513_4d2e_a0d8_2e3b33800ce1.slice": "kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod3058aa10_b513_4d2e_a0d8_2e3b33800ce1.slice",
		// A static pod's UID is a hash; a cgroup root of the administrator's comes first.
		"node-kubepods-burstable-pod8b6d1f0a.slice": "node.slice/node-kubepods.slice/node-kubepods-burstable.slice/node-kubepods-burstable-pod8b6d1f0a.slice",
	} {
		name := parent + ":cri-containerd:" + id
		scope := slice + "/cri-containerd-" + id + ".scope"
		if got := v2.forRunsc(name); got != name {
			t.Errorf("v2: runsc is told %q of %q, which it asks systemd for", got, name)
		}
		if got := v1.forRunsc(name); got != "/"+scope {
			t.Errorf("v1: runsc is told %q of %q, want a path", got, name)
		}
		if got := Slice(name); got != slice {
			t.Errorf("the pod's slice of %q is %q, want %q", name, got, slice)
		}
		for _, tt := range []struct {
			tree tree
			dir  string
		}{{v2, scope}, {v1, "memory/" + scope}} {
			if err := os.MkdirAll(filepath.Join(string(tt.tree), tt.dir), 0o755); err != nil {
				t.Fatal(err)
			}
			if got, want := tt.tree.memoryDir(name), filepath.Join(string(tt.tree), tt.dir); got != want {
				t.Errorf("the memory of %q is counted in %q, want %q", name, got, want)
			}
			if err := tt.tree.remove(t.Context(), name); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(filepath.Join(string(tt.tree), tt.dir)); !os.IsNotExist(err) {
				t.Errorf("%s is still there: %v", tt.dir, err)
			}
			if _, err := os.Stat(filepath.Dir(filepath.Join(string(tt.tree), tt.dir))); err != nil {
				t.Errorf("the pod's slice went with it: %v", err)
			}
		}
	}
	for _, path := range []string{"/kubepods/burstable/pod12/abc", "", "relative"} {
		if got := v1.forRunsc(path); got != path {
			t.Errorf("v1: runsc is told %q of %q", got, path)
		}
	}
}

// The scope has gone with the process that was killed; its slice has counted too.
func TestKillsInAScopeAreCountedInItsSlice(t *testing.T) {
	pod := newTree(t, map[string]string{
		"cgroup.controllers": "memory",
		"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod12.slice/memory.events": "oom 1\noom_kill 1\n",
	})
	if n := pod.oomKills(Slice("kubepods-burstable-pod12.slice:cri-containerd:c1")); n != 1 {
		t.Errorf("%d kills, want 1", n)
	}
	for _, path := range []string{"/kubepods/pod1", ""} {
		if got := Slice(path); got != path {
			t.Errorf("Slice(%q) = %q", path, got)
		}
	}
}

// newTree makes a cgroup file system out of plain files.
func newTree(t *testing.T, files map[string]string) tree {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return tree(dir)
}

func TestOOMKills(t *testing.T) {
	v1 := newTree(t, map[string]string{
		"memory/killed/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
		"memory/fine/memory.oom_control":   "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n",
		"memory/old/memory.oom_control":    "oom_kill_disable 0\nunder_oom 1\n",
		// A hybrid has a v2 tree beside those of v1.
		"unified/cgroup.controllers": "",
	})
	v2 := newTree(t, map[string]string{
		"cgroup.controllers":   "cpu memory",
		"killed/memory.events": "low 0\nhigh 0\nmax 9\noom 9\noom_kill 2\noom_group_kill 0\n",
		"fine/memory.events":   "max 9\noom 9\noom_kill 0\n",
		"odd/memory.events":    "oom_kill many\n",
	})
	tests := []struct {
		name string
		tree tree
		path string
		want uint64
	}{
		{"v1", v1, "/killed", 1},
		{"v1, none", v1, "/fine", 0},
		{"v1, kernel that does not count", v1, "/old", 0},
		{"v1, missing", v1, "/nope", 0},
		{"v2", v2, "/killed", 2},
		{"v2, none", v2, "/fine", 0},
		{"v2, not a number", v2, "/odd", 0},
		{"v2, missing", v2, "/nope", 0},
		{"no cgroup at all", v2, "", 0},
	}
	for _, tt := range tests {
		if got := tt.tree.oomKills(tt.path); got != tt.want {
			t.Errorf("%s: OOMKills = %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestMemoryDir(t *testing.T) {
	v1, v2 := newTree(t, nil), newTree(t, map[string]string{"cgroup.controllers": ""})
	if got, want := v1.memoryDir("s.slice:a:b"), filepath.Join(string(v1), "memory/s.slice/a-b.scope"); got != want {
		t.Errorf("v1: %s, want %s", got, want)
	}
	if got, want := v2.memoryDir("/x"), filepath.Join(string(v2), "x"); got != want {
		t.Errorf("v2: %s, want %s", got, want)
	}
}

// The process is in some cgroup of every machine that has any.
func TestOwnCgroupsHoldThisProcess(t *testing.T) {
	dirs := Own()
	if len(dirs) == 0 {
		t.Fatal("Own = none")
	}
	for _, dir := range dirs {
		b, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if err != nil {
			t.Error(err)
		}
		if !slices.Contains(strings.Fields(string(b)), strconv.Itoa(os.Getpid())) {
			t.Errorf("this process is not in %s", dir)
		}
	}
}

func TestRemoveTakesTheContainersCgroupAlone(t *testing.T) {
	v1 := newTree(t, map[string]string{"memory/ns/other/x": "", "cpu/ns/other/x": "", "unified/cgroup.controllers": ""})
	v2 := newTree(t, map[string]string{"cgroup.controllers": "", "ns/other/x": ""})
	for _, tt := range []struct {
		tree tree
		dirs []string
	}{
		{v1, []string{"memory/ns/box", "cpu/ns/box"}},
		{v2, []string{"ns/box"}},
	} {
		for _, dir := range tt.dirs {
			if err := os.Mkdir(filepath.Join(string(tt.tree), dir), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if got := tt.tree.dirs("/ns/box"); len(got) != len(tt.dirs) {
			t.Errorf("dirs = %q, want those of %q", got, tt.dirs)
		}
		for _, path := range []string{"/ns/box", "/ns/box", "", "/"} {
			if err := tt.tree.remove(t.Context(), path); err != nil {
				t.Errorf("remove %q: %v", path, err)
			}
		}
		for _, dir := range tt.dirs {
			if _, err := os.Stat(filepath.Join(string(tt.tree), dir)); !os.IsNotExist(err) {
				t.Errorf("%s is still there: %v", dir, err)
			}
			if _, err := os.Stat(filepath.Join(string(tt.tree), dir, "../other/x")); err != nil {
				t.Error(err)
			}
		}
	}
	if err := v2.remove(t.Context(), "/ns/other"); err == nil {
		t.Error("a cgroup with something in it can be removed")
	}
}

// A process that ends meanwhile is waited for, one that stays is not for ever.
func TestRemoveWaitsForWhoEnds(t *testing.T) {
	const name = "ateom-test-remove"
	dir := filepath.Join(string(system), name)
	if !Unified() {
		dir = filepath.Join(string(system), "memory", name)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatalf("make a cgroup (as root): %v", err)
	}
	defer os.Remove(dir)
	member := exec.Command("sleep", "1000")
	if err := member.Start(); err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceFunc(func() {
		_ = member.Process.Kill()
		_ = member.Wait()
	})
	defer stop()
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(member.Process.Pid)), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := Remove(ctx, "/"+name); !errors.Is(err, unix.EBUSY) {
		t.Errorf("remove the cgroup of a process that lives: %v, want EBUSY", err)
	}
	time.AfterFunc(20*time.Millisecond, stop)
	if err := Remove(t.Context(), "/"+name); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", dir, err)
	}
}
