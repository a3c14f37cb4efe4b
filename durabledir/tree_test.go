// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
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

// makeTree fills dir with one of everything that a volume may hold.
func makeTree(t testing.TB, dir string) {
	t.Helper()
	in := func(name string) string { return filepath.Join(dir, name) }
	write(t, in("plain.txt"), "some text\n")
	write(t, in("empty"), "")
	write(t, in("program"), "#!/bin/sh\n")
	write(t, in("a/b/c/deep.txt"), "deep")
	write(t, in("block"), strings.Repeat("b", 512))
	write(t, in("large.bin"), strings.Repeat("0123456789abcdef", 100_000))
	must(t, os.MkdirAll(in("empty dir/ /..config/x..y"), 0o755))
	for i, name := range []string{"with\nnewline", "tab\there", "-rf", "ä", "\xff\xfe not text", "a\\b", "*", "trailing ", "=%3D=",
		strings.Repeat("n", 255), strings.Repeat("\xc3\xa9", 127)} {
		write(t, in("names/"+name), fmt.Sprint("name ", i))
	}
	must(t, os.Symlink("../plain.txt", in("a/link")))
	must(t, os.Symlink("/etc/passwd", in("absolute link")))
	must(t, os.Symlink("\xffnowhere"+strings.Repeat("/x", 200), in("long link")))
	must(t, os.Link(in("plain.txt"), in("a/same file")))
	must(t, os.Link(in("plain.txt"), in("zz same file")))
	must(t, unix.Mkfifo(in("fifo"), 0o644))
	must(t, os.Link(in("fifo"), in("same fifo")))
	must(t, os.Link(in("absolute link"), in("same link")))
	makeSparse(t, in("sparse/middle"), 4<<20, 1<<20)
	makeSparse(t, in("sparse/end"), 3<<20+17, 0, 2<<20)
	makeSparse(t, in("sparse/all"), 1<<30)
	makeSparse(t, in("sparse/\xfe"), 1<<20, 512<<10)

	must(t, os.Chown(in("plain.txt"), 1000, 1001))
	must(t, os.Chown(in("a/b"), 3_000_000, 4_000_000_000))
	must(t, os.Lchown(in("a/link"), 7, 8))
	must(t, os.Chmod(in("program"), 0o755|os.ModeSetuid))
	must(t, os.Chmod(in("empty"), 0))
	must(t, os.Chmod(in("a"), 0o777|os.ModeSticky))
	must(t, os.Chmod(in("a/b"), 0o750|os.ModeSetgid))
	makeXattrs(t, dir)
	makeTimes(t, dir)
}

// makeSparse makes a file of holes with 64 KiB of data at each place.
func makeSparse(t testing.TB, name string, size int64, data ...int64) {
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

// makeDeep makes a chain of directories whose path is longer than PATH_MAX.
func makeDeep(t testing.TB, dir string, depth int) {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_RDONLY, 0)
	must(t, err)
	for i := range depth {
		name := fmt.Sprintf("level-%d", i)
		must(t, unix.Mkdirat(fd, name, 0o755))
		next, err := unix.Openat(fd, name, unix.O_DIRECTORY|unix.O_RDONLY, 0)
		must(t, err)
		unix.Close(fd)
		fd = next
	}
	file, err := unix.Openat(fd, "bottom", unix.O_CREAT|unix.O_WRONLY, 0o644)
	must(t, err)
	_, err = unix.Write(file, []byte("made it"))
	must(t, err)
	unix.Close(file)
	unix.Close(fd)
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
		{"plain.txt", "system.posix_acl_access", acl(1234)},
		{"a/b", "system.posix_acl_default", acl(4321)},
		{"a/b", "system.posix_acl_access", acl(77)},
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

// acl encodes a POSIX ACL as the kernel does: rw for the owner and one named
// user, r for the group, nothing for others.
func acl(uid uint32) string {
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

// makeTimes gives every file a time of its own; some before 1970.
func makeTimes(t testing.TB, dir string) {
	t.Helper()
	var i int64
	var set func(dir string)
	set = func(dir string) {
		for _, name := range namesIn(t, dir) {
			path := filepath.Join(dir, name)
			if info, err := os.Lstat(path); err == nil && info.IsDir() {
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

// makeSocket leaves a socket behind that nobody listens on.
func makeSocket(t testing.TB, name string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	must(t, err)
	l.SetUnlinkOnClose(false)
	must(t, l.Close())
}

// A place is a directory on one kind of file system.
type place struct{ name, dir string }

// places returns a directory on every kind of file system that this machine
// can mount: tests of a capture run on each.
func places(t *testing.T) []place {
	t.Helper()
	list := []place{{"default", t.TempDir()}}
	if dir := t.TempDir(); unix.Mount("none", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "") == nil {
		t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
		list = append(list, place{"tmpfs", dir})
	}
	for _, kind := range []string{"ext4", "xfs", "btrfs"} {
		if dir, ok := mountLoop(t, kind); ok {
			list = append(list, place{kind, dir})
		}
	}
	return list
}

// mountLoop mounts a new file system of a kind; ok is false if this machine
// does not have it.
func mountLoop(t *testing.T, kind string) (dir string, ok bool) {
	t.Helper()
	if _, err := exec.LookPath("mkfs." + kind); err != nil {
		t.Fatalf("%v; make packages installs it", err)
	}
	image := filepath.Join(t.TempDir(), kind)
	f, err := os.Create(image)
	must(t, err)
	must(t, f.Truncate(400<<20))
	must(t, f.Close())
	if out, err := exec.Command("mkfs."+kind, "-q", image).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.%s: %v\n%s", kind, err, out)
	}
	dir = t.TempDir()
	if err := exec.Command("mount", "-t", kind, "-o", "loop,nosuid,nodev", image, dir).Run(); err != nil {
		return "", false // not in this kernel
	}
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir, true
}

// capture returns the archive of a volume.
func capture(t testing.TB, dir string, opts CaptureOptions) ([]byte, Report) {
	t.Helper()
	var b bytes.Buffer
	report, err := Capture(context.Background(), dir, &b, opts)
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), report
}

// subdir makes a directory.
func subdir(t testing.TB, parent, name string) string {
	t.Helper()
	dir := filepath.Join(parent, name)
	must(t, os.Mkdir(dir, 0o700))
	return dir
}
