// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package roof

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// A Machine is what a run ran on.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory int64  `json:"memory"` // bytes
	Kernel string `json:"kernel"`
	Disk   string `json:"disk"` // file system type of the measured directory
	Cgroup string `json:"cgroup"`
	Runsc  string `json:"runsc"`
	// Load is the load average of the minute before the run: what others had
	// this machine do.
	Load float64 `json:"load"`
}

// Busy says that others used the machine, or is empty.
func (m Machine) Busy() string {
	if m.Load < float64(m.Cores)/2 {
		return ""
	}
	return fmt.Sprintf("The machine was busy: its load was %.1f before the run began. Intervals are wide, and ratios of what two "+
		"threads could have done at once suffer.", m.Load)
}

// Describe says what machine this is, for a bench that writes below dir.
func Describe(dir, runsc string) (Machine, error) {
	m := Machine{Cores: runtime.NumCPU(), CPU: cpuModel()}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return m, fmt.Errorf("read memory size: %w", err)
	}
	const scale = 1 << 16 // SI_LOAD_SHIFT of sysinfo(2)
	m.Load = float64(info.Loads[0]) / scale
	m.Memory = int64(info.Totalram) * int64(info.Unit)
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return m, fmt.Errorf("read kernel version: %w", err)
	}
	m.Kernel = unix.ByteSliceToString(name.Sysname[:]) + " " + unix.ByteSliceToString(name.Release[:])
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return m, fmt.Errorf("read file system type of %s: %w", dir, err)
	}
	m.Disk = fileSystem(fs.Type)
	m.Cgroup = "v2"
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err != nil {
		m.Cgroup = "v1, with v2 beside it"
	}
	out, err := exec.Command(runsc, "--version").Output()
	if err != nil {
		return m, fmt.Errorf("ask runsc for its version: %w", err)
	}
	first, _, _ := strings.Cut(string(out), "\n")
	m.Runsc = strings.TrimPrefix(first, "runsc version ")
	return m, nil
}

func cpuModel() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
			return strings.TrimSpace(v)
		}
	}
	return runtime.GOARCH
}

func fileSystem(magic int64) string {
	switch magic {
	case unix.EXT4_SUPER_MAGIC:
		return "ext4"
	case unix.XFS_SUPER_MAGIC:
		return "xfs"
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs"
	case unix.TMPFS_MAGIC:
		return "tmpfs"
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlay"
	}
	return fmt.Sprintf("file system %#x", magic)
}
