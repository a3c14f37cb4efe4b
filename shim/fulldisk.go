// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// adviseOnFull adds to an error which disk is full, if that is what failed, and
// what to do. What runsc and the gofer say of it comes as text.
func (s *sandbox) adviseOnFull(err error) error {
	if err == nil {
		return nil
	}
	for _, full := range []unix.Errno{unix.ENOSPC, unix.EDQUOT} {
		if strings.Contains(err.Error(), full.Error()) {
			return fmt.Errorf("%w: free space on the disk of %s (ctr-ateom snapshots gc --store local, snapshots rm) and try again: %w",
				err, s.cfg.StateDir, errdefs.ErrResourceExhausted)
		}
	}
	return err
}
