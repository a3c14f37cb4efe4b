// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/oci"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// MemoryResources limits memory to a number of bytes.
func MemoryResources(bytes int64) *specs.LinuxResources {
	return &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &bytes}}
}

// WithMemoryLimit limits the container's memory, in bytes.
func WithMemoryLimit(bytes int64) oci.SpecOpts {
	return func(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
		if s.Linux == nil {
			return errors.New("want a Linux spec")
		}
		if s.Linux.Resources == nil {
			s.Linux.Resources = &specs.LinuxResources{}
		}
		s.Linux.Resources.Memory = MemoryResources(bytes).Memory
		return nil
	}
}

// MemoryLimit returns the limit of the task's cgroup, in bytes.
func (task *Task) MemoryLimit(t testing.TB) int64 {
	t.Helper()
	return task.memoryFile(t, "memory.limit_in_bytes", "memory.max")
}

// MemoryUsage returns what is charged to the task's cgroup, in bytes; 0 when
// there is no cgroup any more.
func (task *Task) MemoryUsage(t testing.TB) int64 {
	t.Helper()
	return task.memoryFile(t, "memory.usage_in_bytes", "memory.current")
}

// CgroupMemory returns what is charged to a cgroup below one of MakeCgroup, in
// bytes. The path's elements are patterns of which one cgroup is left.
func CgroupMemory(name string, path ...string) (int64, error) {
	path = append([]string{here.word + "-" + name}, path...)
	pattern := filepath.Join(append([]string{cgroupRoot}, append(path, "memory.current")...)...)
	if _, err := os.Stat(filepath.Join(cgroupRoot, "memory")); err == nil {
		pattern = filepath.Join(append([]string{cgroupRoot, "memory"}, append(path, "memory.usage_in_bytes")...)...)
	}
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) != 1 {
		return 0, fmt.Errorf("find cgroup %s: %q, %v", pattern, found, err)
	}
	return readNumber(found[0])
}

// LimitCgroup limits the memory of a cgroup that MakeCgroup has returned, in
// bytes: runsc takes one that is there as it is.
func LimitCgroup(cgroup string, bytes int64) error {
	path := filepath.Join(cgroupRoot, cgroup, "memory.max")
	if _, err := os.Stat(filepath.Join(cgroupRoot, "memory")); err == nil {
		path = filepath.Join(cgroupRoot, "memory", cgroup, "memory.limit_in_bytes")
	}
	return os.WriteFile(path, strconv.AppendInt(nil, bytes, 10), 0o644)
}

// A Pressure is what has become of a cgroup that needed more than its limit.
type Pressure struct {
	// Hits is how often the limit was reached, Kills how many processes it has cost.
	Hits, Kills int64
}

// PressureOf returns that of a cgroup which MakeCgroup has returned.
func PressureOf(cgroup string) (p Pressure, err error) {
	dir := filepath.Join(cgroupRoot, cgroup)
	if _, err := os.Stat(filepath.Join(cgroupRoot, "memory")); err != nil {
		events := filepath.Join(dir, "memory.events")
		if p.Hits, err = readField(events, "max"); err != nil {
			return p, err
		}
		p.Kills, err = readField(events, "oom_kill")
		return p, err
	}
	dir = filepath.Join(cgroupRoot, "memory", cgroup)
	if p.Hits, err = readNumber(filepath.Join(dir, "memory.failcnt")); err != nil {
		return p, err
	}
	p.Kills, err = readField(filepath.Join(dir, "memory.oom_control"), "oom_kill")
	return p, err
}

// readField reads the number behind a word at the beginning of a line.
func readField(path, word string) (int64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == word {
			return strconv.ParseInt(f[1], 10, 64)
		}
	}
	return 0, fmt.Errorf("read %s: no %q", path, word)
}

// memoryFile reads a number from the task's memory cgroup, of version 1 or 2.
func (task *Task) memoryFile(t testing.TB, v1, v2 string) int64 {
	t.Helper()
	path := filepath.Join(cgroupRoot, task.Node.Namespace, task.ID, v2)
	if _, err := os.Stat(filepath.Join(cgroupRoot, "memory")); err == nil {
		path = filepath.Join(cgroupRoot, "memory", task.Node.Namespace, task.ID, v1)
	}
	n, err := readNumber(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return n
}

func readNumber(path string) (int64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
}
