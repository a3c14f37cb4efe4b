// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/durabledir/paxtar"
)

// xfsACL begins the names under which XFS shows, a second time and in its own
// form, what it keeps for the POSIX ACLs in system.*.
const xfsACL = "trusted.SGI_ACL_"

// xattrsFD reads the extended attributes of an open file, sorted by name.
func xattrsFD(fd int) ([]paxtar.Xattr, error) {
	return readXattrs(
		func(buf []byte) (int, error) { return unix.Flistxattr(fd, buf) },
		func(name string, buf []byte) (int, error) { return unix.Fgetxattr(fd, name, buf) })
}

// xattrsAt reads those of name itself, also if it is a symlink.
func xattrsAt(dir root, name string) ([]paxtar.Xattr, error) {
	path := dir.proc(name)
	return readXattrs(
		func(buf []byte) (int, error) { return unix.Llistxattr(path, buf) },
		func(name string, buf []byte) (int, error) { return unix.Lgetxattr(path, name, buf) })
}

// readXattrs works with the l… and the f… calls. On a file system without
// extended attributes there are none.
func readXattrs(list func([]byte) (int, error), get func(string, []byte) (int, error)) ([]paxtar.Xattr, error) {
	var first [256]byte
	names, err := grow(first[:], list)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list extended attributes: %w", err)
	}
	if len(names) == 0 {
		return nil, nil
	}
	var xattrs []paxtar.Xattr
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names), "\x00"), "\x00") {
		if strings.HasPrefix(name, xfsACL) {
			continue
		}
		var buf [256]byte
		value, err := grow(buf[:], func(b []byte) (int, error) { return get(name, b) })
		if errors.Is(err, unix.ENODATA) {
			continue // a name that is listed and has no value, as some file systems have
		}
		if err != nil {
			return nil, fmt.Errorf("get extended attribute %q: %w", name, err)
		}
		xattrs = append(xattrs, paxtar.Xattr{Name: name, Value: string(value)})
	}
	slices.SortFunc(xattrs, func(a, b paxtar.Xattr) int { return strings.Compare(a.Name, b.Name) })
	return xattrs, nil
}

// grow calls fill with a buffer that is large enough, beginning with buf.
func grow(buf []byte, fill func([]byte) (int, error)) ([]byte, error) {
	for {
		n, err := retry(func() (int, error) { return fill(buf) })
		if err == nil {
			return buf[:n], nil
		}
		// The kernel bounds names and values at 64 KiB.
		if !errors.Is(err, unix.ERANGE) || len(buf) > 64<<10 {
			return nil, err
		}
		buf = make([]byte, 4*len(buf))
	}
}
