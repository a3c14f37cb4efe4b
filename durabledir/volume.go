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

// Install publishes a restored staging directory as the volume dir: its bytes
// are made durable, then it is renamed. Both lie on one file system. A dir
// that exists and is empty is replaced; any other stays untouched and the
// error is an errdefs.ErrAlreadyExists: remove it, or use Replace.
func Install(staging, dir string) error {
	if err := syncTree(staging); err != nil {
		return fmt.Errorf("install volume %s: %w", dir, err)
	}
	// rename(2) itself refuses a directory that holds anything, so there is
	// no moment between looking and replacing.
	err := unix.Rename(staging, dir)
	if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENOTDIR) {
		return fmt.Errorf("install volume %s: it exists and holds data: %w", dir, errdefs.ErrAlreadyExists)
	}
	if err != nil {
		return fmt.Errorf("install volume %s: rename %s: %w", dir, staging, err)
	}
	return syncDir(filepath.Dir(dir))
}

// Replace is Install over a volume that holds data. The two directories change
// places at once, so that dir is always either the old volume or the new one;
// afterwards staging holds the old one, for the caller to remove.
func Replace(staging, dir string) error {
	if err := syncTree(staging); err != nil {
		return fmt.Errorf("replace volume %s: %w", dir, err)
	}
	if err := unix.Renameat2(unix.AT_FDCWD, staging, unix.AT_FDCWD, dir, unix.RENAME_EXCHANGE); err != nil {
		return fmt.Errorf("replace volume %s: exchange with %s: %w", dir, staging, err)
	}
	if err := syncDir(filepath.Dir(staging)); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// syncTree makes the content of dir durable, with the one call that does not
// cost a journal commit for each file.
func syncTree(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
