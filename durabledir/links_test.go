// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ateom/ateom/durabledir/treetest"
)

// restoreVolumes captures volumes and restores them into a new directory.
func restoreVolumes(t *testing.T, from, to string, names ...string) (warnings []string) {
	t.Helper()
	links := new(Links)
	defer links.Close()
	for _, name := range names {
		archive, _ := capture(t, filepath.Join(from, name), CaptureOptions{})
		_, err := Restore(context.Background(), bytes.NewReader(archive), subdir(t, to, name), RestoreOptions{Links: links})
		must(t, err)
	}
	warnings, err := links.Join()
	must(t, err)
	_, err = links.Join() // finds them joined
	must(t, err)
	return warnings
}

func TestHardLinksAcrossVolumesAreKept(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	in := func(name string) string { return filepath.Join(from, name) }
	treetest.Write(t, in("home/dir/file"), "shared")
	treetest.Write(t, in("work/other"), "alone")
	treetest.Write(t, in("data/deep/down/x"), "x")
	must(t, os.Link(in("home/dir/file"), in("work/file")))
	must(t, os.Link(in("home/dir/file"), in("work/again")))
	must(t, os.Link(in("home/dir/file"), in("data/deep/down/file")))
	treetest.MakeSparse(t, in("home/sparse"), 8<<20, 4<<20)
	must(t, os.Link(in("home/sparse"), in("data/sparse")))
	treetest.MakeTimes(t, from)

	if warnings := restoreVolumes(t, from, to, "home", "work", "data"); len(warnings) > 0 {
		t.Errorf("warnings %q, want none", warnings)
	}
	for _, dir := range []string{from, to} {
		when := mustStat(t, from).ModTime()
		must(t, os.Chtimes(dir, when, when))
		must(t, os.Chmod(dir, 0o755))
	}
	if diff := cmp.Diff(listing(t, from), listing(t, to)); diff != "" {
		t.Errorf("volumes (-captured +restored):\n%s", diff)
	}
}

func mustStat(t *testing.T, name string) os.FileInfo {
	t.Helper()
	info, err := os.Lstat(name)
	must(t, err)
	return info
}

// An archive may claim that any files are one: those that differ stay two.
func TestFilesThatDifferAreNotJoined(t *testing.T) {
	shared := func(body string) raw { return fileEntry("f", body, rec("ATEOM.shared", "key")) }
	mode := shared("content")
	mode.mode = "0000600"
	for name, other := range map[string]raw{
		"content": shared("CONTENT"),
		"size":    shared("more content"),
		"mode":    mode,
		"holes":   {flag: '0', name: "x", records: append(sparseRecords("f", 7), rec("ATEOM.shared", "key")), body: "0\n" + strings.Repeat("\x00", 510)},
	} {
		t.Run(name, func(t *testing.T) {
			links := new(Links)
			defer links.Close()
			var dirs []string
			for _, e := range []raw{shared("content"), other} {
				dirs = append(dirs, t.TempDir())
				_, err := Restore(context.Background(), bytes.NewReader(tarOf(e)), dirs[len(dirs)-1], RestoreOptions{Links: links})
				must(t, err)
			}
			before := listing(t, dirs[1])
			warnings, err := links.Join()
			must(t, err)
			if len(warnings) != 1 || !strings.Contains(warnings[0], "they differ") {
				t.Errorf("warnings %q, want one that says that they differ", warnings)
			}
			if diff := cmp.Diff(before, listing(t, dirs[1])); diff != "" {
				t.Errorf("the second volume (-restored +joined):\n%s", diff)
			}
		})
	}
}

func TestSharedFilesOnTwoFileSystemsStayTwo(t *testing.T) {
	archive := tarOf(fileEntry("f", "content", rec("ATEOM.shared", "key")))
	links := new(Links)
	defer links.Close()
	count := 0
	for _, at := range places(t) {
		count++
		_, err := Restore(context.Background(), bytes.NewReader(archive), subdir(t, at.dir, "v"), RestoreOptions{Links: links})
		must(t, err)
	}
	warnings, err := links.Join()
	must(t, err)
	if len(warnings) != count-1 {
		t.Errorf("%d warnings for %d file systems: %q", len(warnings), count, warnings)
	}
}
