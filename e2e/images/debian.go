// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package images

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const suite = "bookworm"

// unneeded is removed from the root filesystem to keep the image small.
var unneeded = []string{"var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale", "dev"}

// debootstrap returns what fills a directory with a small Debian.
func debootstrap(packages []string) func(context.Context, string) error {
	return func(ctx context.Context, dir string) error { return debian(ctx, dir, packages) }
}

func debian(ctx context.Context, dir string, packages []string) error {
	args := []string{"--variant=minbase", "--include=" + strings.Join(packages, ","), suite, dir}
	if mirror := aptMirror(ctx); mirror != "" {
		args = append(args, mirror)
	}
	if err := run(ctx, dir, "debootstrap", args...); err != nil {
		return err
	}
	for _, d := range unneeded {
		d = filepath.Join(dir, d)
		if err := os.RemoveAll(d); err != nil {
			return err
		}
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// aptMirror returns the archive that this machine's apt uses for the suite, or
// "" for debootstrap's default.
func aptMirror(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "apt-get", "indextargets", "--format", "$(CREATED_BY) $(RELEASE) $(REPO_URI)").Output()
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) == 3 && f[0] == "Packages" && f[1] == suite {
			return f[2]
		}
	}
	return ""
}

// programs returns what fills a directory with a small Debian and what packages
// hold that are unpacked only: their set-up would start servers.
func programs(installed, unpacked []string) func(context.Context, string) error {
	return func(ctx context.Context, dir string) error {
		if err := debian(ctx, dir, installed); err != nil {
			return err
		}
		for _, name := range unpacked {
			if err := unpack(ctx, name, dir); err != nil {
				return err
			}
		}
		return nil
	}
}

// unpack unpacks a package of this machine's Debian into dir.
func unpack(ctx context.Context, name, dir string) error {
	debs, err := os.MkdirTemp("", "ateom-"+name+"-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(debs)
	// apt drops its rights for downloads.
	if err := os.Chmod(debs, 0o777); err != nil {
		return err
	}
	if err := run(ctx, debs, "apt-get", "download", name); err != nil {
		// The index is older than the archive, or not there at all.
		if err := run(ctx, debs, "apt-get", "update"); err != nil {
			return err
		}
		if err := run(ctx, debs, "apt-get", "download", name); err != nil {
			return err
		}
	}
	found, err := filepath.Glob(filepath.Join(debs, "*.deb"))
	if err != nil || len(found) != 1 {
		return fmt.Errorf("download %s: found %d packages in %s: %w", name, len(found), debs, err)
	}
	return run(ctx, debs, "dpkg-deb", "-x", found[0], dir)
}

// busybox fills dir with Debian's static busybox, without installing it here.
func busybox(ctx context.Context, dir string) error {
	unpacked, err := os.MkdirTemp("", "ateom-busybox-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(unpacked)
	if err := unpack(ctx, "busybox-static", unpacked); err != nil {
		return err
	}
	for _, d := range []string{"bin", "etc", "proc", "sys", "dev", "root"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "tmp"), 0o777); err != nil {
		return err
	}
	if err := os.Chmod(filepath.Join(dir, "tmp"), 0o777|os.ModeSticky); err != nil {
		return err
	}
	program := filepath.Join(dir, "bin", "busybox")
	if err := run(ctx, unpacked, "install", "-m", "0755", filepath.Join("bin", "busybox"), program); err != nil {
		return err
	}
	if err := run(ctx, dir, "chroot", dir, "/bin/busybox", "--install", "-s", "/bin"); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "etc", "passwd"), []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n"), 0o644)
}
