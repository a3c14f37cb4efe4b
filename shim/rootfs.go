// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"errors"
	"fmt"
	"os"

	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/v2/core/mount"
)

// mountRootfs mounts what containerd prepared; an empty list means that the
// bundle's rootfs, or a directory of the user's, is there already.
func (c *container) mountRootfs(mounts []*types.Mount) error {
	if !c.mounted {
		return nil
	}
	if err := os.Mkdir(c.rootfs, 0o711); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make rootfs: %w", err)
	}
	for _, m := range mounts {
		one := mount.Mount{Type: m.GetType(), Source: m.GetSource(), Options: m.GetOptions(), Target: m.GetTarget()}
		if err := one.Mount(c.rootfs); err != nil {
			return errors.Join(fmt.Errorf("mount rootfs: %w", err), mount.UnmountRecursive(c.rootfs, 0))
		}
	}
	return nil
}

// unmountRootfs undoes mountRootfs.
func (c *container) unmountRootfs() error {
	if !c.mounted {
		return nil
	}
	if err := mount.UnmountRecursive(c.rootfs, 0); err != nil {
		return fmt.Errorf("unmount rootfs of %s: %w", c.id, err)
	}
	return nil
}
