// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/durabledir/treetest"
)

// A spool on the volume's own file system takes no room for large files where
// blocks can be shared, and in every case holds the same bytes.
func TestSpoolSharesBlocksWhereItCan(t *testing.T) {
	const size = 64<<20 + 1234
	for _, at := range places(t) {
		t.Run(at.name, func(t *testing.T) {
			dir, spool := subdir(t, at.dir, "volume"), subdir(t, at.dir, "spool")
			content := bytes.Repeat([]byte("0123456789abcde\n"), size/16+1)[:size]
			must(t, os.WriteFile(filepath.Join(dir, "large"), content, 0o600))
			treetest.MakeSparse(t, filepath.Join(dir, "sparse"), 64<<20, 0, 1<<20, 33<<20+4096)
			opts := quick(t)
			opts.Spool = spool

			must(t, syncFileSystem(dir)) // else the content itself takes its room later
			before := freeBytes(t, spool)
			pass := begin(t, dir, nil, opts)
			settle(t, pass)
			must(t, unix.Syncfs(pass.root.fd))
			if took := before - freeBytes(t, spool); (at.name == "xfs" || at.name == "btrfs") && took > size/2 {
				t.Errorf("the spool took %d bytes of the disk for %d of content", took, size)
			}
			want, _ := capture(t, dir, CaptureOptions{})
			if !bytes.Equal(want, finish(t, pass)) {
				t.Error("the archive is not what Capture makes")
			}
		})
	}
}

func syncFileSystem(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}

func freeBytes(t *testing.T, dir string) int64 {
	t.Helper()
	var s unix.Statfs_t
	must(t, unix.Statfs(dir, &s))
	return int64(s.Bfree) * s.Bsize
}

// Where the kernel cannot copy between two file systems, the spool does.
func TestSpoolOnAnotherFileSystem(t *testing.T) {
	for _, at := range places(t) {
		t.Run(at.name, func(t *testing.T) {
			dir := t.TempDir()
			treetest.Make(t, dir)
			opts := quick(t)
			opts.Spool = subdir(t, at.dir, "spool")
			pass := begin(t, dir, nil, opts)
			settle(t, pass)
			want, _ := capture(t, dir, CaptureOptions{})
			if !bytes.Equal(want, finish(t, pass)) {
				t.Error("the archive is not what Capture makes")
			}
		})
	}
}

func TestCopyBytesIsTheSameAsTheKernels(t *testing.T) {
	from := filepath.Join(t.TempDir(), "from")
	content := bytes.Repeat([]byte("0123456789"), 300_000)
	must(t, os.WriteFile(from, content, 0o600))
	in, err := os.Open(from)
	must(t, err)
	defer in.Close()
	for name, copyTo := range map[string]func(*spool) error{
		"bytes":  func(s *spool) error { return s.copyBytes(int(in.Fd()), 17, 5, 2_500_000) },
		"kernel": func(s *spool) error { return s.copyRange(int(in.Fd()), 17, 5, 2_500_000) },
	} {
		s, err := openSpool(t.TempDir())
		must(t, err)
		must(t, copyTo(s))
		got := make([]byte, 2_500_000)
		must(t, readFull(s.fd, got, 5))
		if !bytes.Equal(got, content[17:17+2_500_000]) {
			t.Errorf("%s: other bytes in the spool", name)
		}
		if err := s.copyBytes(int(in.Fd()), 2_999_990, 0, 11); !isChanged(err) {
			t.Errorf("beyond the file's end: error %v, want ErrChanged", err)
		}
		must(t, s.close())
	}
}
