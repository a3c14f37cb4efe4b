// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package treetest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// must stops a test's preparation at the first error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Write makes a file and the directories above it.
func Write(t testing.TB, name, content string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(name), 0o777))
	must(t, os.WriteFile(name, []byte(content), 0o666))
}

// Make fills dir with one of everything that every capture keeps.
func Make(t testing.TB, dir string) {
	t.Helper()
	in := func(name string) string { return filepath.Join(dir, name) }
	Write(t, in("plain.txt"), "some text\n")
	Write(t, in("empty"), "")
	Write(t, in("program"), "#!/bin/sh\n")
	Write(t, in("a/b/c/deep.txt"), "deep")
	Write(t, in("block"), strings.Repeat("b", 512))
	Write(t, in("large.bin"), strings.Repeat("0123456789abcdef", 100_000))
	must(t, os.MkdirAll(in("empty dir/ /..config/x..y"), 0o755))
	for i, name := range []string{"with\nnewline", "tab\there", "-rf", "ä", "\xff\xfe not text", "a\\b", "*", "trailing ", "=%3D=",
		strings.Repeat("n", 255), strings.Repeat("\xc3\xa9", 127)} {
		Write(t, in("names/"+name), fmt.Sprint("name ", i))
	}
	must(t, os.Symlink("../plain.txt", in("a/link")))
	must(t, os.Symlink("/etc/passwd", in("absolute link")))
	must(t, os.Symlink("\xffnowhere"+strings.Repeat("/x", 200), in("long link")))
	must(t, os.Link(in("plain.txt"), in("a/same file")))
	must(t, os.Link(in("plain.txt"), in("zz same file")))
	must(t, unix.Mkfifo(in("fifo"), 0o644))
	must(t, os.Link(in("fifo"), in("same fifo")))
	must(t, os.Link(in("absolute link"), in("same link")))
	MakeSparse(t, in("sparse/middle"), 4<<20, 1<<20)
	MakeSparse(t, in("sparse/end"), 3<<20+17, 0, 2<<20)
	MakeSparse(t, in("sparse/all"), 1<<30)
	MakeSparse(t, in("sparse/\xfe"), 1<<20, 512<<10)

	must(t, os.Chown(in("plain.txt"), 1000, 1001))
	must(t, os.Chown(in("a/b"), 3_000_000, 4_000_000_000))
	must(t, os.Lchown(in("a/link"), 7, 8))
	must(t, os.Chmod(in("program"), 0o755|os.ModeSetuid))
	must(t, os.Chmod(in("empty"), 0))
	must(t, os.Chmod(in("a"), 0o777|os.ModeSticky))
	must(t, os.Chmod(in("a/b"), 0o750|os.ModeSetgid))
	makeXattrs(t, dir)
	MakeTimes(t, dir)
}

// MakeSparse makes a file of holes with 64 KiB of data at each place.
func MakeSparse(t testing.TB, name string, size int64, data ...int64) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(name), 0o777))
	f, err := os.Create(name)
	must(t, err)
	defer f.Close()
	must(t, f.Truncate(size))
	for _, at := range data {
		_, err := f.WriteAt(bytes.Repeat([]byte{'d'}, 64<<10), at)
		must(t, err)
	}
}

func makeXattrs(t testing.TB, dir string) {
	t.Helper()
	for _, x := range []struct{ name, key, value string }{
		{"plain.txt", "user.text", "value"},
		{"plain.txt", "user.binary", "\x00\x01\n=\xff"},
		{"plain.txt", "user.a=b%c", "escaped"},
		{"plain.txt", "user.empty", ""},
		{"plain.txt", "trusted.host", "only for root"},
		{"large.bin", "user.long", strings.Repeat("x", 600)},
		{"a", "user.of.dir", "1"},
		{".", "user.of.top", "1"},
		{"absolute link", "trusted.of.link", "1"},
		{"fifo", "trusted.of.fifo", "1"},
		// What setcap(8) writes for cap_net_bind_service+ep.
		{"program", "security.capability", "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"},
		{"plain.txt", "system.posix_acl_access", ACL(1234)},
		{"a/b", "system.posix_acl_default", ACL(4321)},
		{"a/b", "system.posix_acl_access", ACL(77)},
	} {
		err := unix.Lsetxattr(filepath.Join(dir, x.name), x.key, []byte(x.value), 0)
		if err == unix.EOPNOTSUPP && strings.HasPrefix(x.key, "user.") {
			continue // tmpfs of older kernels
		}
		if err != nil {
			t.Fatalf("set %s of %q: %v", x.key, x.name, err)
		}
	}
}

// ACL encodes a POSIX ACL as the kernel does: rw for the owner and one named
// user, r for the group, nothing for others.
func ACL(uid uint32) string {
	b := []byte{2, 0, 0, 0}
	for _, e := range []struct {
		tag, perm uint16
		id        uint32
	}{{0x01, 6, ^uint32(0)}, {0x02, 6, uid}, {0x04, 4, ^uint32(0)}, {0x10, 6, ^uint32(0)}, {0x20, 0, ^uint32(0)}} {
		b = append(b, byte(e.tag), byte(e.tag>>8), byte(e.perm), byte(e.perm>>8),
			byte(e.id), byte(e.id>>8), byte(e.id>>16), byte(e.id>>24))
	}
	return string(b)
}

// MakeTimes gives every file a time of its own; some before 1970.
func MakeTimes(t testing.TB, dir string) {
	t.Helper()
	var i int64
	var set func(dir string)
	set = func(dir string) {
		entries, err := os.ReadDir(dir)
		must(t, err)
		for _, e := range entries {
			path := filepath.Join(dir, e.Name())
			if e.IsDir() {
				set(path)
			}
			i++
			at := unix.Timespec{Sec: 1_000_000_000 + i*1_000_003, Nsec: i * 1_234_567 % 1e9}
			switch i % 10 {
			case 0:
				at.Sec = -i * 1000 // before 1970
			case 1:
				at.Nsec = 0
			}
			must(t, unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{{Nsec: unix.UTIME_OMIT}, at}, unix.AT_SYMLINK_NOFOLLOW))
		}
	}
	set(dir)
	must(t, os.Chtimes(dir, time.Time{}, time.Unix(1_111_111_111, 999_999_999)))
}
