// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/durabledir/treetest"
)

// While an archive is restored, a program exchanges what was made for symlinks
// out of the volume. A restore may fail; it never touches what they point to.
func TestSymlinkSwapperDoesNotLeadARestoreOutside(t *testing.T) {
	const n = 50
	made := map[string]func(i int) raw{
		"files":       func(i int) raw { return fileEntry(fmt.Sprintf("d/victim-%d", i), "overwritten") },
		"directories": func(i int) raw { return dirEntry(fmt.Sprintf("d/victim-%d", i)) },
		"symlinks":    func(i int) raw { return symlinkEntry(fmt.Sprintf("d/victim-%d", i), "overwritten") },
		"hard links":  func(i int) raw { return linkEntry(fmt.Sprintf("d/victim-%d", i), "d/first") },
		"FIFOs":       func(i int) raw { return raw{flag: '6', name: fmt.Sprintf("d/victim-%d", i), mode: "0000777"} },
		"sparse files": func(i int) raw {
			return sparseEntry(fmt.Sprintf("d/victim-%d", i), 8192, "1\n4096\n11\n", "overwritten")
		},
		"attributes": func(i int) raw {
			return raw{flag: '6', name: fmt.Sprintf("d/victim-%d", i), mode: "0000777", uid: "0001234", records: []string{rec("SCHILY.xattr.trusted.x", "x")}}
		},
	}
	for kind, entry := range made {
		t.Run(kind, func(t *testing.T) {
			top := t.TempDir()
			outside, volume := subdir(t, top, "outside"), subdir(t, top, "volume")
			for i := range n {
				treetest.Write(t, filepath.Join(outside, fmt.Sprintf("victim-%d", i)), "precious")
			}
			entries := []raw{dirEntry("d"), fileEntry("d/first", "x")}
			for i := range n {
				entries = append(entries, entry(i))
			}
			archive := tarOf(entries...)
			before := listing(t, outside)

			stop := make(chan struct{})
			var swapper sync.WaitGroup
			swapper.Go(func() { swap(stop, volume, outside) })
			failed := 0
			for i := 0; i < 40 || failed == 0 && i < 5000; i++ {
				if _, err := Restore(context.Background(), bytes.NewReader(archive), volume, RestoreOptions{AllXattrs: true}); err != nil {
					failed++
				}
				emptyDir(t, volume)
			}
			close(stop)
			swapper.Wait()
			if diff := cmp.Diff(before, listing(t, outside)); diff != "" {
				t.Errorf("outside of the volume (-before +after):\n%s", diff)
			}
			if failed == 0 {
				t.Error("no restore met the swapper: the test shows nothing")
			}
		})
	}
}

// swap puts symlinks to the directory outside, and to the files in it, where
// the directory d of the volume and its files are, and back.
func swap(stop <-chan struct{}, volume, outside string) {
	trap := filepath.Join(filepath.Dir(volume), "trap")
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		d := filepath.Join(volume, "d")
		os.Symlink(outside, trap)
		if unix.Renameat2(unix.AT_FDCWD, trap, unix.AT_FDCWD, d, unix.RENAME_EXCHANGE) == nil {
			unix.Renameat2(unix.AT_FDCWD, trap, unix.AT_FDCWD, d, unix.RENAME_EXCHANGE)
		}
		os.RemoveAll(trap)
		victim := fmt.Sprintf("victim-%d", i%50)
		os.Symlink(filepath.Join(outside, victim), trap)
		unix.Renameat2(unix.AT_FDCWD, trap, unix.AT_FDCWD, filepath.Join(d, victim), unix.RENAME_EXCHANGE)
		os.RemoveAll(trap)
	}
}

// emptyDir clears a directory in which the swapper may be at work.
func emptyDir(t *testing.T, dir string) {
	t.Helper()
	for range 1000 {
		names := namesIn(t, dir)
		if len(names) == 0 {
			return
		}
		for _, name := range names {
			os.RemoveAll(filepath.Join(dir, name))
		}
	}
	t.Fatal("the swapper does not let the volume become empty")
}

// namePairs differ in case alone.
var namePairs = [][2]string{{"name", "NAME"}, {"ä", "Ä"}, {"straße", "STRASSE"}}

// On a file system that takes "a" and "A" for one name, the second is a
// duplicate and nothing is overwritten.
func TestCaseFoldedNamesAreDuplicates(t *testing.T) {
	const feature = "/sys/fs/ext4/features/casefold"
	if _, err := os.Stat(feature); err != nil {
		notTested(t, fmt.Sprintf("case folding in ext4: %v", err))
	}
	dir := mountLoop(t, "ext4", "-O", "casefold")
	for i, pair := range namePairs {
		volume := subdir(t, dir, fmt.Sprint(i))
		must(t, exec.Command("chattr", "+F", volume).Run())
		archive := tarOf(fileEntry(pair[0], "one"), fileEntry(pair[1], "two"))
		if _, err := Restore(context.Background(), bytes.NewReader(archive), volume, RestoreOptions{}); !isDuplicate(err) {
			t.Errorf("%q: error %v, want ErrDuplicate", pair, err)
		}
	}
}

func TestNamesThatDifferInCaseAreTwoFiles(t *testing.T) {
	for _, pair := range namePairs {
		dir := t.TempDir()
		archive := tarOf(fileEntry(pair[0], "one"), fileEntry(pair[1], "two"))
		_, err := Restore(context.Background(), bytes.NewReader(archive), dir, RestoreOptions{})
		must(t, err)
		if got := namesIn(t, dir); len(got) != 2 {
			t.Errorf("%q: restored %q, want both", pair, got)
		}
	}
}
