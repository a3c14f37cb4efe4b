// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// debianPackages are in the root file system of programs that users run.
var debianPackages = []string{"python3", "nodejs"}

// debianSuite is the release that they are taken from.
const debianSuite = "bookworm"

// DebianRootfs returns where EnsureDebian keeps its root file system.
func DebianRootfs() (string, error) {
	cache := os.Getenv("ATEOM_CACHE")
	if cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		cache = filepath.Join(home, ".cache", "ateom")
	}
	return filepath.Join(cache, "bench-"+debianSuite+"-"+strings.Join(debianPackages, "-"), "rootfs"), nil
}

// EnsureDebian makes the root file system unless it is there. The first call on
// a machine needs debootstrap and Debian's archive, and takes a minute or two.
func EnsureDebian(ctx context.Context) (err error) {
	rootfs, err := DebianRootfs()
	if err != nil {
		return err
	}
	dir := filepath.Dir(rootfs)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	lock, err := os.Create(filepath.Join(dir, ".lock"))
	if err != nil {
		return err
	}
	defer lock.Close() // which unlocks
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", dir, err)
	}
	if _, err := os.Stat(rootfs); err == nil {
		return nil
	}
	made, err := os.MkdirTemp(dir, "make-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(made)) }()
	if err := os.Chmod(made, 0o755); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "making a Debian root file system (once a machine)")
	cmd := exec.CommandContext(ctx, "debootstrap", "--variant=minbase", "--include="+strings.Join(debianPackages, ","), debianSuite, made)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("run debootstrap: %w: %s", err, out[max(0, len(out)-500):])
	}
	return os.Rename(made, rootfs)
}
