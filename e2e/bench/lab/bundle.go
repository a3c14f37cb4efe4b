// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A Program is what runs in a sandbox.
type Program struct {
	// Args of its process; the first is an absolute path in the rootfs.
	Args []string
	// Binary on the host that is copied to Args[0], or "".
	Binary string
	// Files are written into the rootfs, by absolute path.
	Files map[string]string
	// Mounts besides /proc, /dev, /sys and /tmp.
	Mounts []specs.Mount
}

// Spec returns the OCI spec for p in a rootfs (absolute) and a network
// namespace, with runsc's cgroups at cgroup ("/parent/name").
func Spec(p Program, rootfs, netPath, cgroup string) *specs.Spec {
	return &specs.Spec{
		Version:  "1.1.0",
		Hostname: "bench",
		Root:     &specs.Root{Path: rootfs},
		Process: &specs.Process{
			Cwd:  "/",
			Args: p.Args,
			Env:  []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		},
		Mounts: append([]specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs"},
			{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
			{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs"},
		}, p.Mounts...),
		Linux: &specs.Linux{
			CgroupsPath: cgroup,
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.PIDNamespace},
				{Type: specs.IPCNamespace},
				{Type: specs.UTSNamespace},
				{Type: specs.MountNamespace},
				{Type: specs.NetworkNamespace, Path: netPath},
			},
		},
	}
}

// WriteRootfs makes the directory rootfs with the program's binary and files in it.
func (p Program) WriteRootfs(rootfs string) error {
	if err := os.MkdirAll(rootfs, 0o755); err != nil {
		return err
	}
	for name, content := range p.Files {
		if err := os.WriteFile(filepath.Join(rootfs, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	if p.Binary == "" {
		return nil
	}
	to := filepath.Join(rootfs, p.Args[0])
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return copyFile(to, p.Binary, 0o755)
}

// WriteBundle writes spec as dir/config.json.
func WriteBundle(dir string, spec *specs.Spec) error {
	b, err := json.Marshal(spec)
	if err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	return os.WriteFile(filepath.Join(dir, "config.json"), b, 0o600)
}

func copyFile(to, from string, mode os.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return fmt.Errorf("copy %s: %w", from, err)
	}
	return out.Close()
}
