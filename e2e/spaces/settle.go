// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package spaces

import (
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ShimSockets is where containerd's shim library puts sockets, whatever
// containerd's own directories are.
const ShimSockets = "/run/containerd"

// settle makes the new namespaces usable: a /proc that shows this one's
// processes, an empty place for the shims' sockets, a loopback interface.
func settle() error {
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := os.MkdirAll(ShimSockets, 0o711); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", ShimSockets, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=711"); err != nil {
		return fmt.Errorf("mount %s: %w", ShimSockets, err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find loopback interface: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("bring loopback interface up: %w", err)
	}
	return nil
}
