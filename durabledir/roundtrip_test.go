// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/durabledir/treetest"
)

func TestRestoreGivesBackWhatCaptureTook(t *testing.T) {
	for _, at := range places(t) {
		t.Run(at.name, func(t *testing.T) {
			from, to := subdir(t, at.dir, "from"), subdir(t, at.dir, "to")
			treetest.Make(t, from)
			archive, captured := capture(t, from, CaptureOptions{})
			if len(captured.Skipped)+len(captured.Warnings) > 0 {
				t.Errorf("skipped %q, warnings %q; want none", captured.Skipped, captured.Warnings)
			}
			restored, err := Restore(context.Background(), bytes.NewReader(archive), to, RestoreOptions{AllXattrs: true})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(captured, restored); diff != "" {
				t.Errorf("reports (-captured +restored):\n%s", diff)
			}
			if diff := cmp.Diff(listing(t, from), listing(t, to)); diff != "" {
				t.Errorf("tree (-captured +restored):\n%s", diff)
			}
			again, _ := capture(t, to, CaptureOptions{})
			if !bytes.Equal(archive, again) {
				t.Error("the restored tree gives another archive")
			}
		})
	}
}

func TestOneTreeGivesTheSameBytesEverywhere(t *testing.T) {
	var first []byte
	for i, at := range places(t) {
		old := syscall.Umask(i * 0o11)
		from := subdir(t, at.dir, "from")
		must(t, os.Chmod(from, 0o755))
		syscall.Umask(old)
		treetest.Make(t, from)
		archive, _ := capture(t, from, CaptureOptions{Readers: 1 + 3*i})
		if first == nil {
			first = archive
		}
		if !bytes.Equal(first, archive) {
			t.Errorf("%s: other bytes than on the first file system", at.name)
		}
	}
}

// GNU tar is the independent reader: it must make the same tree of the archive.
func TestTarRestoresTheSameTree(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	treetest.Make(t, from)
	// GNU tar up to 1.35 loses empty values.
	must(t, unix.Removexattr(filepath.Join(from, "plain.txt"), "user.empty"))
	must(t, os.Chtimes(from, time.Time{}, time.Unix(1, 1)))
	archive, _ := capture(t, from, CaptureOptions{})
	tar := exec.Command("tar", "-xpf", "-", "-C", to, "--xattrs", "--xattrs-include=*", "--same-owner", "--numeric-owner")
	tar.Stdin = bytes.NewReader(archive)
	if out, err := tar.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	if diff := cmp.Diff(listing(t, from), listing(t, to)); diff != "" {
		t.Errorf("tree (-captured +restored by tar):\n%s", diff)
	}
}

// GNU tar as the independent writer: a volume can be made by hand.
func TestRestoreTakesWhatTarWrites(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	treetest.Make(t, from)
	// GNU tar loses empty values, and that two FIFOs are one.
	must(t, unix.Removexattr(filepath.Join(from, "plain.txt"), "user.empty"))
	must(t, os.Remove(filepath.Join(from, "same fifo")))
	must(t, os.Chtimes(from, time.Time{}, time.Unix(1, 1)))
	archive, err := exec.Command("tar", "--format=posix", "--sparse", "--xattrs", "--xattrs-include=*", "--numeric-owner",
		"-C", from, "-cf", "-", ".").Output()
	must(t, err)
	_, err = Restore(context.Background(), bytes.NewReader(archive), to, RestoreOptions{AllXattrs: true})
	must(t, err)
	if diff := cmp.Diff(listing(t, from), listing(t, to)); diff != "" {
		t.Errorf("tree (-written by tar +restored):\n%s", diff)
	}
}

func TestPathsLongerThanTheKernelTakesAreKept(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	makeDeep(t, from, 600)
	archive, report := capture(t, from, CaptureOptions{})
	if report.Files != 602 {
		t.Errorf("%d entries, want 602", report.Files)
	}
	if _, err := Restore(context.Background(), bytes.NewReader(archive), to, RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	again, _ := capture(t, to, CaptureOptions{})
	if !bytes.Equal(archive, again) {
		t.Error("the restored tree gives another archive")
	}
	if !bytes.Contains(again, []byte("made it")) {
		t.Error("the archive does not hold the deepest file")
	}
	// A failing restore clears what it made, however deep.
	into := t.TempDir()
	if _, err := Restore(context.Background(), bytes.NewReader(archive[:len(archive)-1]), into, RestoreOptions{}); err == nil {
		t.Error("a truncated archive was restored")
	}
	if left := namesIn(t, into); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
