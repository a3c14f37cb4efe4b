// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/durabledir/paxtar"
)

// A stat is what stat(2) tells, without what no capture looks at.
type stat struct {
	dev, ino, rdev       uint64
	mode, uid, gid, link uint32
	size, blocks         int64 // blocks of 512 bytes
	mtime, ctime         paxtar.Time
}

func makeStat(s *unix.Stat_t) stat {
	return stat{
		dev: s.Dev, ino: s.Ino, rdev: s.Rdev,
		mode: s.Mode, uid: s.Uid, gid: s.Gid, link: uint32(s.Nlink),
		size: s.Size, blocks: s.Blocks,
		mtime: paxtar.Time{Sec: s.Mtim.Sec, Nsec: int32(s.Mtim.Nsec)},
		ctime: paxtar.Time{Sec: s.Ctim.Sec, Nsec: int32(s.Ctim.Nsec)},
	}
}

func statFD(fd int) (stat, error) {
	var s unix.Stat_t
	if err := unix.Fstat(fd, &s); err != nil {
		return stat{}, err
	}
	return makeStat(&s), nil
}

// statAt does not follow name.
func statAt(dir root, name string) (stat, error) {
	var s unix.Stat_t
	if err := unix.Fstatat(dir.fd, name, &s, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return stat{}, err
	}
	return makeStat(&s), nil
}

func (s *stat) format() uint32 { return s.mode & unix.S_IFMT }
func (s *stat) isDir() bool    { return s.format() == unix.S_IFDIR }
func (s *stat) isFile() bool   { return s.format() == unix.S_IFREG }

// unchanged reports whether the same file still has the same content and
// attributes: whatever changes them moves ctime, which nobody can set.
func (s *stat) unchanged(now *stat) bool {
	return s.ino == now.ino && s.dev == now.dev && s.size == now.size && s.mode == now.mode &&
		s.mtime == now.mtime && s.ctime == now.ctime
}

// before orders two times.
func before(a, b paxtar.Time) bool {
	return a.Sec < b.Sec || a.Sec == b.Sec && a.Nsec < b.Nsec
}
