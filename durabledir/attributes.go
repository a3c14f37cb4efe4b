// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/durabledir/paxtar"
)

// The order below is the only one that works: a change of owner clears setuid
// bits and file capabilities, an ACL changes mode bits, and everything but the
// last call changes times.

// finishFile gives an open file or directory its attributes.
func (s *restorer) finishFile(h *paxtar.Header, fd int) error {
	if !s.opts.IgnoreOwners {
		if err := unix.Fchown(fd, int(h.UID), int(h.GID)); err != nil {
			return fmt.Errorf("change owner to %d:%d: %w", h.UID, h.GID, err)
		}
	}
	for _, x := range h.Xattrs {
		if err := unix.Fsetxattr(fd, x.Name, []byte(x.Value), 0); err != nil {
			return xattrError(h, x.Name, err)
		}
	}
	if err := unix.Fchmod(fd, h.Mode); err != nil {
		return fmt.Errorf("change mode to %#o: %w", h.Mode, err)
	}
	// An open descriptor has the times set by its name in /proc: there is no
	// call that takes nanoseconds and a descriptor alone.
	return setTimes(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd), h, 0)
}

// finishSpecial gives a symlink, FIFO or device node its attributes, by its
// name in the current parent.
func (s *restorer) finishSpecial(h *paxtar.Header, base string) error {
	if !s.opts.IgnoreOwners {
		if err := unix.Fchownat(s.parent.fd, base, int(h.UID), int(h.GID), unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return fmt.Errorf("change owner to %d:%d: %w", h.UID, h.GID, err)
		}
	}
	for _, x := range h.Xattrs {
		if err := unix.Lsetxattr(s.parent.proc(base), x.Name, []byte(x.Value), 0); err != nil {
			return xattrError(h, x.Name, err)
		}
	}
	if h.Type != paxtar.Symlink {
		if err := chmodSpecial(s.parent.root, base, h.Mode); err != nil {
			return fmt.Errorf("change mode to %#o: %w", h.Mode, err)
		}
	}
	return setTimes(s.parent.fd, base, h, unix.AT_SYMLINK_NOFOLLOW)
}

// chmodSpecial changes the mode of what may not be opened, without following
// a symlink that took its place.
func chmodSpecial(dir root, base string, mode uint32) error {
	fd, err := openat2(dir.fd, base, unix.O_PATH, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	st, err := statFD(fd)
	if err != nil {
		return err
	}
	if st.format() == unix.S_IFLNK {
		return unix.ELOOP
	}
	return unix.Chmod("/proc/self/fd/"+strconv.Itoa(fd), mode)
}

// setTimes sets the modification time and leaves that of the last access.
func setTimes(dir int, name string, h *paxtar.Header, flags int) error {
	times := []unix.Timespec{
		{Nsec: unix.UTIME_OMIT},
		{Sec: h.ModTime.Sec, Nsec: int64(h.ModTime.Nsec)},
	}
	if err := unix.UtimesNanoAt(dir, name, times, flags); err != nil {
		return fmt.Errorf("change modification time: %w", err)
	}
	return nil
}

func xattrError(h *paxtar.Header, name string, err error) error {
	switch {
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EINVAL),
		errors.Is(err, unix.E2BIG), errors.Is(err, unix.ERANGE), errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return &RefusedError{Name: h.Name, Reason: ErrXattr, Detail: fmt.Sprintf("%q: %v", name, err)}
	}
	return fmt.Errorf("set extended attribute %q: %w", name, err)
}

// finishDirs gives directories their attributes, the deepest first.
func (s *restorer) finishDirs() error {
	for i := len(s.dirs) - 1; i >= 0; i-- {
		if err := s.finishDir(s.dirs[i]); err != nil {
			return s.explain(s.dirs[i], err)
		}
	}
	return nil
}

func (s *restorer) finishDir(h *paxtar.Header) error {
	d, err := s.root.openDir(h.Name)
	if err != nil {
		return err
	}
	defer d.close()
	return s.finishFile(h, d.fd)
}

// allowXattrs returns the extended attributes that the policy lets through.
func (s *restorer) allowXattrs(h *paxtar.Header) []paxtar.Xattr {
	if s.opts.AllXattrs {
		return h.Xattrs
	}
	allowed := h.Xattrs[:0]
	for _, x := range h.Xattrs {
		if ofPrograms(x.Name) {
			allowed = append(allowed, x)
			continue
		}
		if _, ok := s.ignored[x.Name]; !ok && len(s.ignored) < maxListed {
			s.ignored[x.Name] = h.Name
			list(&s.report.Warnings, "%q and maybe others: extended attribute %q not restored, it speaks to the host", h.Name, x.Name)
		}
	}
	return allowed
}

// ofPrograms reports whether an extended attribute belongs to the programs in
// a sandbox, rather than to a kernel's security module or file system.
func ofPrograms(name string) bool {
	switch name {
	case "system.posix_acl_access", "system.posix_acl_default", "security.capability":
		return true
	}
	return strings.HasPrefix(name, "user.")
}
