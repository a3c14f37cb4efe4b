// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package treetest

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A change of a tree.
type change struct {
	name string
	// do makes it; in returns the path of a name.
	do func(in func(name string) string) error
	// ofTime says that it is one of modification times; after every other one
	// these are what they were.
	ofTime bool
}

var changes = []change{
	{name: "content of the same size", do: func(in func(string) string) error {
		return os.WriteFile(in("plain.txt"), []byte("some tExt\n"), 0)
	}},
	{name: "zeros in a hole", do: func(in func(string) string) error {
		f, err := os.OpenFile(in("sparse/middle"), os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteAt(make([]byte, 64<<10), 2<<20)
		return errors.Join(err, f.Close())
	}},
	{name: "the length of a hole", do: func(in func(string) string) error { return os.Truncate(in("sparse/all"), 1<<30-1) }},
	{name: "a mode bit", do: func(in func(string) string) error { return unix.Chmod(in("a/b"), 0o750) }},
	{name: "a FIFO's mode", do: func(in func(string) string) error { return unix.Chmod(in("fifo"), 0o600) }},
	{name: "an owner", do: func(in func(string) string) error { return os.Lchown(in("a/link"), 9, 8) }},
	{name: "a group", do: func(in func(string) string) error { return os.Lchown(in("a/link"), 7, 9) }},
	{name: "a time", ofTime: true, do: func(in func(string) string) error { return later(in("empty")) }},
	{name: "a symlink's time", ofTime: true, do: func(in func(string) string) error { return later(in("long link")) }},
	{name: "the top's time", ofTime: true, do: func(in func(string) string) error { return later(in(".")) }},
	{name: "an attribute's value", do: func(in func(string) string) error {
		return unix.Setxattr(in("plain.txt"), "user.binary", []byte("\x00\x01\n=\xfe"), 0)
	}},
	{name: "an empty attribute", do: func(in func(string) string) error { return unix.Removexattr(in("plain.txt"), "user.empty") }},
	{name: "a symlink's attribute", do: func(in func(string) string) error {
		return unix.Lremovexattr(in("absolute link"), "trusted.of.link")
	}},
	{name: "an ACL", do: func(in func(string) string) error {
		return unix.Setxattr(in("a/b"), "system.posix_acl_default", []byte(ACL(4322)), 0)
	}},
	{name: "a file capability", do: func(in func(string) string) error { return unix.Removexattr(in("program"), "security.capability") }},
	{name: "a name that is no text", do: func(in func(string) string) error { return os.Rename(in("sparse/\xfe"), in("sparse/\xfd")) }},
	{name: "an empty directory", do: func(in func(string) string) error { return os.Remove(in("empty dir/ /..config/x..y")) }},
	{name: "a copy for a link", do: func(in func(string) string) error {
		if err := os.Remove(in("zz same file")); err != nil {
			return err
		}
		return exec.Command("cp", "--preserve=all", in("plain.txt"), in("zz same file")).Run()
	}},
	{name: "a symlink's target", do: func(in func(string) string) error {
		if err := os.Remove(in("a/link")); err != nil {
			return err
		}
		return errors.Join(os.Symlink("../plain.txT", in("a/link")), os.Lchown(in("a/link"), 7, 8))
	}},
	{name: "a device's number", do: func(in func(string) string) error { return makeDevice(in("device"), unix.S_IFCHR, 5) }},
	{name: "a device's kind", do: func(in func(string) string) error { return makeDevice(in("device"), unix.S_IFBLK, 3) }},
}

// later moves a modification time by a nanosecond.
func later(name string) error {
	info, err := os.Lstat(name)
	if err != nil {
		return err
	}
	return setTime(name, info.ModTime().Add(1))
}

func setTime(name string, at time.Time) error {
	ts := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Sec: at.Unix(), Nsec: int64(at.Nanosecond())}}
	return unix.UtimesNanoAt(unix.AT_FDCWD, name, ts, unix.AT_SYMLINK_NOFOLLOW)
}

// makeDevice makes a device node in the place of what is there.
func makeDevice(name string, kind, minor uint32) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return unix.Mknod(name, kind|0o600, int(unix.Mkdev(1, minor)))
}

func TestWalkSeesEveryChange(t *testing.T) {
	for _, c := range changes {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			in := func(name string) string { return filepath.Join(dir, name) }
			Make(t, dir)
			must(t, makeDevice(in("device"), unix.S_IFCHR, 3))
			before := Walk(t, dir)
			times := modTimes(t, dir)
			if again := Walk(t, dir); !slices.Equal(before, again) {
				t.Fatal("two walks of one tree differ")
			}
			must(t, c.do(in))
			for name, at := range times {
				if c.ofTime {
					break
				}
				if err := setTime(name, at); err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Fatal(err)
				}
			}
			if slices.Equal(before, Walk(t, dir)) {
				t.Error("the walk does not see it")
			}
		})
	}
}

// modTimes returns the times of everything below dir by path.
func modTimes(t *testing.T, dir string) map[string]time.Time {
	t.Helper()
	times := map[string]time.Time{}
	must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil {
			times[path] = info.ModTime()
		}
		return err
	}))
	return times
}
