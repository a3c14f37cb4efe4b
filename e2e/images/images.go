// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package images

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// An Image can be made and imported.
type Image struct {
	// Name is a file name.
	Name string
	// Ref is what containerd calls the imported image.
	Ref string
	// Env and Cmd go into the image's configuration.
	Env, Cmd []string
	// recipe decides the image's bytes together with what Debian serves; a
	// change of it makes a new image.
	recipe string
	// fill makes the root filesystem in the empty directory dir.
	fill func(ctx context.Context, dir string) error
}

const searchPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// debianPackages of the Debian image.
var debianPackages = []string{"python3", "redis-server", "redis-tools", "procps"}

// Debian has Python and Redis.
var Debian = Image{
	Name:   "debian",
	Ref:    "ateom.test/debian:latest",
	Env:    []string{searchPath, "PYTHONUNBUFFERED=1"},
	Cmd:    []string{"/bin/bash"},
	recipe: "debian 2 " + strings.Join(debianPackages, ","),
	fill:   debootstrap(debianPackages),
}

// Packages of the Programs image; those of the server need libraries that nothing
// else installs.
var (
	programPackages = []string{"nodejs", "default-jdk-headless", "libpq5", "libxml2", "libxslt1.1", "libldap-2.5-0", "libllvm14", "libreadline8"}
	serverPackages  = []string{"postgresql-15", "postgresql-client-15"}
)

// Programs has what long tests run besides: Node, a JDK and PostgreSQL. It is no
// part of All.
var Programs = Image{
	Name:   "programs",
	Ref:    "ateom.test/programs:latest",
	Env:    []string{searchPath},
	Cmd:    []string{"/bin/bash"},
	recipe: "programs 1 " + strings.Join(append(programPackages, serverPackages...), ","),
	fill:   programs(programPackages, serverPackages),
}

// Busybox is one static program and its links, under two megabytes.
var Busybox = Image{
	Name:   "busybox",
	Ref:    "ateom.test/busybox:latest",
	Env:    []string{searchPath},
	Cmd:    []string{"/bin/sh"},
	recipe: "busybox 2",
	fill:   busybox,
}

// Pause is what a pod's sandbox holds besides the pod's containers.
var Pause = Image{
	Name:   "pause",
	Ref:    "ateom.test/pause:latest",
	Env:    []string{searchPath},
	Cmd:    []string{"/bin/sleep", "2147483647"},
	recipe: Busybox.recipe,
	fill:   busybox,
}

// All are the images that `make rootfs` makes.
var All = []Image{Busybox, Debian, Pause}

// Ensure returns the path of the image's OCI tarball, which it makes first if
// no earlier call on this machine did. It needs root, and Debian's archive for
// the first call.
func (i Image) Ensure(ctx context.Context) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", fmt.Errorf("make image %s: %w", i.Name, err)
	}
	sum := sha256.Sum256([]byte(i.recipe + strings.Join(i.Env, " ") + strings.Join(i.Cmd, " ")))
	dir := filepath.Join(cache, "image-"+i.Name+"-"+hex.EncodeToString(sum[:8]))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make image %s: %w", i.Name, err)
	}
	unlock, err := lock(filepath.Join(dir, ".lock"))
	if err != nil {
		return "", fmt.Errorf("make image %s: %w", i.Name, err)
	}
	defer unlock()
	path := filepath.Join(dir, i.Name+".tar")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	fmt.Fprintf(os.Stderr, "making image %s (once a machine)\n", i.Name)
	if err := i.build(ctx, dir, path); err != nil {
		return "", fmt.Errorf("make image %s: %w", i.Name, err)
	}
	return path, nil
}

// build makes the tarball at path; it leaves nothing else in dir.
func (i Image) build(ctx context.Context, dir, path string) (err error) {
	tmp, err := os.MkdirTemp(dir, "build-")
	if err != nil {
		return err
	}
	defer func() {
		if e := os.RemoveAll(tmp); err == nil {
			err = e
		}
	}()
	rootfs := filepath.Join(tmp, "rootfs")
	if err := os.Mkdir(rootfs, 0o755); err != nil {
		return err
	}
	if err := i.fill(ctx, rootfs); err != nil {
		return err
	}
	layer := filepath.Join(tmp, "layer.tar")
	if err := run(ctx, tmp, "tar", "--sort=name", "--numeric-owner", "--one-file-system", "-C", rootfs, "-cf", layer, "."); err != nil {
		return err
	}
	if err := writeOCI(i, layer, path+".new"); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// cacheDir is where the Makefile keeps its tools, too.
func cacheDir() (string, error) {
	if dir := os.Getenv("ATEOM_CACHE"); dir != "" {
		return dir, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, ".cache", "ateom"), nil
}

// lock holds an exclusive lock on path until unlock is called.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}

// run runs a command in dir; its error carries the end of the command's output.
func run(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("run %s: %w: %s", name, err, tail(string(out), 2000))
	}
	return nil
}

func tail(s string, n int) string {
	s = strings.TrimSpace(s)
	return s[max(0, len(s)-n):]
}
