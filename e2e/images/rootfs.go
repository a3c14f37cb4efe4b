// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package images

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// run executes a command; an error carries the end of its output.
func run(ctx context.Context, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	// Administrators' commands are not on everybody's PATH.
	if cmd.Err != nil && errors.Is(cmd.Err, exec.ErrNotFound) {
		if path, err := exec.LookPath(filepath.Join("/usr/sbin", name)); err == nil {
			cmd = exec.CommandContext(ctx, path, args...)
		}
	}
	var out, diag bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &diag
	if err := cmd.Run(); err != nil {
		text := strings.TrimSpace(out.String() + diag.String())
		const tail = 1000
		return nil, fmt.Errorf("run %s: %w: %s", name, err, text[max(0, len(text)-tail):])
	}
	return out.Bytes(), nil
}

// unwanted is what no test reads of a Debian; it is half of its size.
var unwanted = []string{
	"dev", "usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale",
	"var/cache/apt", "var/lib/apt/lists", "var/log",
}

// debootstrap installs Debian packages into rootfs.
func debootstrap(ctx context.Context, suite string, packages []string, rootfs string) error {
	_, err := run(ctx, "debootstrap", "--variant=minbase", "--include="+strings.Join(packages, ","), suite, rootfs)
	if err != nil {
		return err
	}
	for _, dir := range unwanted {
		path := filepath.Join(rootfs, dir)
		if err := os.RemoveAll(path); err != nil {
			return err
		}
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// busybox puts the machine's static busybox and a link for each of its tools
// into rootfs.
func busybox(ctx context.Context, rootfs string) error {
	binary, err := exec.LookPath("busybox")
	if err != nil {
		return fmt.Errorf("find busybox: %w; install Debian's busybox-static", err)
	}
	for _, dir := range []string{"bin", "dev", "etc", "proc", "root", "sys", "tmp", "var"} {
		if err := os.MkdirAll(filepath.Join(rootfs, dir), 0o755); err != nil {
			return err
		}
	}
	if _, err := run(ctx, "cp", "--", binary, filepath.Join(rootfs, "bin/busybox")); err != nil {
		return err
	}
	list, err := run(ctx, binary, "--list")
	if err != nil {
		return err
	}
	for applet := range strings.FieldsSeq(string(list)) {
		if applet == "busybox" {
			continue
		}
		if err := os.Symlink("busybox", filepath.Join(rootfs, "bin", applet)); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(rootfs, "etc/passwd"), []byte("root:x:0:0:root:/root:/bin/sh\n"), 0o644)
}
