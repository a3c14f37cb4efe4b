// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// restoring is the extended attribute of the directory of a volume while it is
// restored: the id of the snapshot. Its name space is root's alone, so that no
// program in a sandbox can make its volume look like half a restored one.
const restoring = "trusted.ateom.restoring"

// Mark notes at a volume that it is being restored from a snapshot, until
// Unmark. It does nothing where the file system keeps no such attributes.
func Mark(dir, snapshot string) error {
	return explainMark("mark", dir, unix.Lsetxattr(dir, restoring, []byte(snapshot), 0))
}

// Unmark says that a volume is restored, or empty.
func Unmark(dir string) error {
	return explainMark("unmark", dir, unix.Lremovexattr(dir, restoring))
}

func explainMark(verb, dir string, err error) error {
	if err == nil || errors.Is(err, unix.ENODATA) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPERM) {
		return nil
	}
	return fmt.Errorf("%s volume %s: %w", verb, dir, err)
}

// Marked reports whether a restore of the volume was begun and has not ended.
func Marked(dir string) bool {
	_, err := unix.Lgetxattr(dir, restoring, nil)
	return err == nil
}

// CheckWhole refuses a volume whose restore was interrupted, to whoever would
// take it as it is.
func CheckWhole(dir string) error {
	var id [64]byte
	n, err := unix.Lgetxattr(dir, restoring, id[:])
	if err != nil {
		return nil
	}
	return fmt.Errorf("volume %s holds a part of snapshot %q, whose restore was interrupted; start from that snapshot again, or empty the volume and take the extended attribute %s off it: %w",
		dir, id[:n], restoring, errdefs.ErrFailedPrecondition)
}
