// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Prepare makes the host directory of a declared volume, with the declared
// owner and mode whatever the umask is. A directory that exists already stays
// as it is: its content and attributes came from a sandbox or a snapshot. The
// parent of dir must exist.
func Prepare(dir string, d Declaration) error {
	mode, err := d.mode()
	if err != nil {
		return fieldf("mode", "must be octal digits up to 7777, got %q", d.Mode)
	}
	// Made under another name first: a volume is there with its attributes or
	// not at all.
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".prepare-*")
	if err != nil {
		return fmt.Errorf("prepare volume %q: %w", d.Name, err)
	}
	defer os.Remove(tmp) // fails once it is renamed
	uid, gid := 0, 0
	if d.UID != nil {
		uid = *d.UID
	}
	if d.GID != nil {
		gid = *d.GID
	}
	if d.UID != nil || d.GID != nil {
		if err := os.Lchown(tmp, uid, gid); err != nil {
			return fmt.Errorf("prepare volume %q: %w", d.Name, err)
		}
	}
	if err := unix.Chmod(tmp, mode); err != nil {
		return fmt.Errorf("prepare volume %q: chmod %s: %w", d.Name, tmp, err)
	}
	err = unix.Renameat2(unix.AT_FDCWD, tmp, unix.AT_FDCWD, dir, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EEXIST) {
		return existingDir(dir, d.Name)
	}
	if err != nil {
		return fmt.Errorf("prepare volume %q: rename to %s: %w", d.Name, dir, err)
	}
	return nil
}

func existingDir(dir, volume string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("prepare volume %q: %w", volume, err)
	}
	if !info.IsDir() {
		return fmt.Errorf("prepare volume %q: %s is no directory: %w", volume, dir, errdefs.ErrFailedPrecondition)
	}
	return nil
}
