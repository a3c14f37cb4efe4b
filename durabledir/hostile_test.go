// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"

	"github.com/ateom/ateom/durabledir/paxtar"
	"github.com/ateom/ateom/durabledir/treetest"
)

// A hostile archive and the error that refuses it.
type hostile struct {
	name    string
	archive []byte
	want    error
	opts    RestoreOptions
}

// hostileClasses are all classes but the races, which have a test of their own.
func hostileClasses() map[string][]hostile {
	return map[string][]hostile{
		"absolute names":     absoluteNames(),
		"dot dot":            dotDot(),
		"symlink escapes":    symlinkEscapes(),
		"hard link escapes":  hardLinkEscapes(),
		"pax abuse":          paxAbuse(),
		"sizes":              sizes(),
		"sparse maps":        sparseMaps(),
		"duplicates":         duplicates(),
		"devices and types":  devicesAndTypes(),
		"setuid":             setuid(),
		"bombs":              bombs(),
		"ends and truncated": ends(),
	}
}

func TestHostileArchivesAreRefused(t *testing.T) {
	outside := t.TempDir()
	treetest.Write(t, filepath.Join(outside, "victim"), "precious")
	treetest.Write(t, filepath.Join(outside, "dir/victim"), "precious")
	must(t, os.Symlink("victim", filepath.Join(outside, "link")))
	before := listing(t, outside)
	count := 0
	for class, cases := range hostileClasses() {
		t.Run(class, func(t *testing.T) {
			names := map[string]bool{}
			for _, c := range cases {
				if names[c.name] {
					t.Errorf("two cases named %q", c.name)
				}
				names[c.name] = true
				count++
				t.Run(c.name, func(t *testing.T) { refuse(t, c, outside, before) })
			}
		})
	}
	if count < 150 {
		t.Errorf("%d hostile archives, want at least 150", count)
	}
}

// refuse restores a hostile archive and looks at what is left.
func refuse(t *testing.T, c hostile, outside string, before []string) {
	volume := filepath.Join(outside, "volume")
	must(t, os.Mkdir(volume, 0o700))
	defer os.RemoveAll(volume)
	_, err := Restore(context.Background(), bytes.NewReader(c.archive), volume, c.opts)
	if !errors.Is(err, c.want) {
		t.Errorf("error %v, want %v", err, c.want)
	}
	var malformed *paxtar.Error
	var refused *RefusedError
	if !errors.As(err, &malformed) && !errors.As(err, &refused) {
		t.Errorf("error %T, want a *paxtar.Error or a *RefusedError", err)
	}
	if !errors.Is(err, errdefs.ErrDataLoss) && !errors.Is(err, errdefs.ErrResourceExhausted) {
		t.Errorf("error %v is of no class that a caller can tell", err)
	}
	if left := namesIn(t, volume); len(left) > 0 {
		t.Errorf("left in the volume: %q", left)
	}
	// The volume was made just now, and moved the time of the directory around it.
	after := listing(t, outside)
	if diff := cmp.Diff(without(before), without(after)); diff != "" {
		t.Errorf("outside of the volume (-before +after):\n%s", diff)
	}
}

// without drops the lines of the volume and of the directory around it.
func without(lines []string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
		return strings.HasPrefix(line, `"volume" `) || strings.HasPrefix(line, `"." `)
	})
}

// The archives are hostile in one point alone: without it they are restored.
func TestHarmlessArchiveOfTheSameBuilderIsRestored(t *testing.T) {
	archive := tarOf(
		dirEntry("./"), dirEntry("d/"), dirEntry("./e/"),
		fileEntry("d/f", "content"),
		raw{flag: '2', name: "d/s", linkname: "/etc/passwd"},
		raw{flag: '1', name: "d/l", linkname: "./d/f"},
		raw{flag: '6', name: "d/p"},
		sparseEntry("d/h", 8192, "1\n4096\n3\n", "abc"),
		fileEntry("d/g", "x", rec("mtime", "-1.5"), rec("uid", "4000000000"), rec("atime", "1"), rec("path", "d/pax")),
		raw{flag: '0', prefix: "d", name: "prefixed"},
	)
	dir := t.TempDir()
	report, err := Restore(context.Background(), bytes.NewReader(archive), dir, RestoreOptions{Setuid: SetuidRefuse})
	must(t, err)
	if report.Files != 10 || report.Bytes != 11 {
		t.Errorf("report %+v, want 10 entries and 11 bytes", report)
	}
	want := []string{"f", "h", "l", "p", "pax", "prefixed", "s"}
	if diff := cmp.Diff(want, namesIn(t, filepath.Join(dir, "d"))); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestRestoreNeedsAnEmptyDirectory(t *testing.T) {
	dir := t.TempDir()
	treetest.Write(t, filepath.Join(dir, "kept"), "x")
	_, err := Restore(context.Background(), bytes.NewReader(tarOf()), dir, RestoreOptions{})
	if !errors.Is(err, ErrNotEmpty) || !errors.Is(err, errdefs.ErrFailedPrecondition) {
		t.Errorf("error %v, want ErrNotEmpty", err)
	}
	if got := namesIn(t, dir); len(got) != 1 {
		t.Errorf("the directory holds %q, want what it held", got)
	}
}

func TestFailingReaderIsItsOwnError(t *testing.T) {
	broken := errors.New("connection reset")
	archive := tarOf(fileEntry("a", "content"), fileEntry("b", "content"))
	for n := range len(archive) {
		dir := t.TempDir()
		r := io.MultiReader(bytes.NewReader(archive[:n]), readerFunc(func([]byte) (int, error) { return 0, broken }))
		if _, err := Restore(context.Background(), r, dir, RestoreOptions{}); !errors.Is(err, broken) {
			t.Fatalf("after %d bytes: error %v, want that of the reader", n, err)
		}
		if left := namesIn(t, dir); len(left) > 0 {
			t.Fatalf("after %d bytes: left behind %q", n, left)
		}
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func isDuplicate(err error) bool { return errors.Is(err, ErrDuplicate) }
