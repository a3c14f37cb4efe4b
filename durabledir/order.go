// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/durabledir/paxtar"
)

// An entry is a node that goes into the archive.
type entry struct {
	*node
	// link is the earlier node that this one is another name of.
	link *node
	// shared is set for a file that has names outside of the volume.
	shared string
	// starts and ends say that a segment of the archive begins or ends with
	// this entry.
	starts, ends bool
	// old is where the previous archive has the same bytes; its length is 0
	// where it has not.
	old placed
}

// hasContent reports whether the entry is one whose file must be read.
func (e *entry) hasContent() bool { return e.stat.isFile() && e.link == nil }

// An inode names a file that several names may lead to.
type inode struct{ dev, ino uint64 }

// A linkCount tells how many of a file's names are in the volume.
type linkCount struct {
	first *node
	at    int // in the list of entries
	seen  uint32
}

// order lists what goes into the archive: every directory before what is in
// it, names in the order of their bytes. It notes in the report what stays out.
func order(top *node, opts CaptureOptions) ([]entry, Report) {
	var (
		entries []entry
		report  Report
		linked  = map[inode]*linkCount{}
		firsts  []*linkCount
	)
	var walk func(n *node)
	walk = func(n *node) {
		if why := skip(&n.stat, opts); why != "" {
			list(&report.Skipped, "%q: %s", n.path(), why)
			return
		}
		e := entry{node: n}
		if !n.stat.isDir() && n.stat.link > 1 {
			id := inode{n.stat.dev, n.stat.ino}
			if l, ok := linked[id]; ok {
				e.link = l.first
				l.seen++
			} else {
				l = &linkCount{first: n, at: len(entries), seen: 1}
				linked[id] = l
				firsts = append(firsts, l)
			}
		}
		entries = append(entries, e)
		for _, c := range n.children {
			walk(c)
		}
	}
	walk(top)
	markSegments(entries)
	for _, l := range firsts {
		s := &l.first.stat
		if l.seen == s.link {
			continue
		}
		if s.isFile() {
			entries[l.at].shared = fmt.Sprintf("%x-%x", s.dev, s.ino)
		}
		list(&report.Warnings, "%q has %d more names outside of the volume; after a restore it is one file with those only that are in a volume of the same snapshot",
			l.first.path(), s.link-l.seen)
	}
	return entries, report
}

// skip says why a file stays out of the archive, or "".
func skip(s *stat, opts CaptureOptions) string {
	switch s.format() {
	case unix.S_IFSOCK:
		return "socket"
	case unix.S_IFCHR:
		if !opts.Devices {
			return "character device"
		}
	case unix.S_IFBLK:
		if !opts.Devices {
			return "block device"
		}
	}
	return ""
}

// header makes the header of anything but a regular file with content.
func (e *entry) header() paxtar.Header {
	s := &e.stat
	h := paxtar.Header{Name: e.path(), Mode: s.mode & 0o7777, UID: s.uid, GID: s.gid, ModTime: s.mtime}
	if e.link != nil {
		h.Type, h.Linkname = paxtar.Link, e.link.path()
		return h
	}
	h.Xattrs = e.xattrs
	switch s.format() {
	case unix.S_IFDIR:
		h.Type = paxtar.Dir
	case unix.S_IFLNK:
		h.Type, h.Linkname = paxtar.Symlink, e.target
	case unix.S_IFIFO:
		h.Type = paxtar.FIFO
	case unix.S_IFCHR:
		h.Type, h.Major, h.Minor = paxtar.CharDevice, unix.Major(s.rdev), unix.Minor(s.rdev)
	case unix.S_IFBLK:
		h.Type, h.Major, h.Minor = paxtar.BlockDevice, unix.Major(s.rdev), unix.Minor(s.rdev)
	}
	return h
}
