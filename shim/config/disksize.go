// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/go-units"
	"golang.org/x/sys/unix"
)

// A DiskSize is a number of bytes, or a share of the file system that it is
// about. Its zero value is nothing.
type DiskSize struct {
	Bytes   int64
	Percent int // counts where it is not zero
}

// UnmarshalText reads "20GiB", "500m", "0", or "10%". Units are powers of 1024,
// as everywhere where containers' sizes are given.
func (s *DiskSize) UnmarshalText(text []byte) error {
	bad := func() error {
		return fmt.Errorf("want a size such as %q or a share such as %q, got %q: %w", "20GiB", "10%", text, errdefs.ErrInvalidArgument)
	}
	if share, ok := strings.CutSuffix(string(text), "%"); ok {
		n, err := strconv.Atoi(share)
		if err != nil || n < 0 || n > 100 {
			return bad()
		}
		*s = DiskSize{Percent: n}
		return nil
	}
	n, err := units.RAMInBytes(string(text))
	if err != nil || n < 0 {
		return bad()
	}
	*s = DiskSize{Bytes: n}
	return nil
}

// On returns the number of bytes on the file system of dir, which must exist.
func (s DiskSize) On(dir string) (int64, error) {
	if s.Percent == 0 {
		return s.Bytes, nil
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(st.Blocks) * st.Bsize / 100 * int64(s.Percent), nil
}
