// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import "golang.org/x/sys/unix"

// A fileSystem is what a Pass has to know of the kind of file system that a
// volume lies on.
//
// A store through a mapping moves a file's ctime only when it is the first one
// into a page that is clean: then the kernel has protected the page and notices.
// A page that is dirty already takes more stores without another stamp. So
// dirty pages are written back before a file is read; from then on its ctime
// tells of every change.
type fileSystem struct {
	// stampsStores says that the above is so. On tmpfs, for one, nothing tells
	// of a store through a mapping.
	stampsStores bool
	// syncsRanges says that sync_file_range(2) has protected all pages of a file
	// when it returns. It waits for that file's data alone, where syncfs(2)
	// waits for whatever others have written to the same file system. On btrfs
	// it does not wait for pages that are about to be compressed.
	syncsRanges bool
}

func fileSystemOf(fd int) (fileSystem, error) {
	var s unix.Statfs_t
	if err := unix.Fstatfs(fd, &s); err != nil {
		return fileSystem{}, err
	}
	switch s.Type {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC:
		return fileSystem{stampsStores: true, syncsRanges: true}, nil
	case unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC:
		return fileSystem{stampsStores: true}, nil
	}
	return fileSystem{}, nil
}

// writeBack makes the kernel write, and protect, the dirty pages of a file.
func writeBack(fd int) error {
	return unix.SyncFileRange(fd, 0, 0, unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER)
}
