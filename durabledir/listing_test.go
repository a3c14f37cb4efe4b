// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// listing describes a tree, a line for each file, by other means than the code
// under test: everything that a capture has to keep, and nothing else.
func listing(t testing.TB, dir string) []string {
	t.Helper()
	groups := map[uint64]string{} // first name of each inode
	var lines []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		if st.Mode&syscall.S_IFMT == syscall.S_IFSOCK {
			return nil
		}
		line := fmt.Sprintf("%q mode=%o owner=%d:%d mtime=%d.%09d", name, st.Mode, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec)
		switch info.Mode().Type() {
		case 0:
			line += fmt.Sprintf(" size=%d sha256=%x holes=%v", st.Size, contentSum(t, path), holes(t, path))
		case fs.ModeSymlink:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" target=%q", target)
		case fs.ModeDevice, fs.ModeDevice | fs.ModeCharDevice:
			line += fmt.Sprintf(" device=%d,%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
		}
		if !info.IsDir() && st.Nlink > 1 {
			if _, ok := groups[st.Ino]; !ok {
				groups[st.Ino] = name
			}
			line += fmt.Sprintf(" linked=%q", groups[st.Ino])
		}
		lines = append(lines, line+xattrText(t, path))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	return lines
}

func contentSum(t testing.TB, path string) [32]byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// Only the data: reading the holes of a large file would take minutes.
	h := sha256.New()
	var at int64
	for _, run := range dataRuns(t, f) {
		fmt.Fprintln(h, run)
		buf := make([]byte, run[1]-run[0])
		if _, err := f.ReadAt(buf, run[0]); err != nil {
			t.Fatal(err)
		}
		h.Write(buf)
		at = run[1]
	}
	fmt.Fprintln(h, at)
	return [32]byte(h.Sum(nil))
}

func holes(t testing.TB, path string) [][2]int64 {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	var list [][2]int64
	at := int64(0)
	for _, run := range dataRuns(t, f) {
		if run[0] > at {
			list = append(list, [2]int64{at, run[0]})
		}
		at = run[1]
	}
	if at < info.Size() {
		list = append(list, [2]int64{at, info.Size()})
	}
	return list
}

// dataRuns lists where the file has data.
func dataRuns(t testing.TB, f *os.File) [][2]int64 {
	t.Helper()
	var runs [][2]int64
	for at := int64(0); ; {
		data, err := f.Seek(at, unix.SEEK_DATA)
		if err != nil {
			return runs // no data from there on
		}
		if at, err = f.Seek(data, unix.SEEK_HOLE); err != nil {
			t.Fatal(err)
		}
		runs = append(runs, [2]int64{data, at})
	}
}

func xattrText(t testing.TB, path string) string {
	t.Helper()
	buf := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, buf)
	if err == unix.EOPNOTSUPP {
		return ""
	}
	if err != nil {
		t.Fatalf("list xattrs of %q: %v", path, err)
	}
	names := strings.FieldsFunc(string(buf[:n]), func(c rune) bool { return c == 0 })
	slices.Sort(names)
	text := ""
	for _, name := range names {
		n, err := unix.Lgetxattr(path, name, buf)
		if err != nil {
			t.Fatalf("get xattr %q of %q: %v", name, path, err)
		}
		text += fmt.Sprintf(" %q=%q", name, buf[:n])
	}
	return text
}
