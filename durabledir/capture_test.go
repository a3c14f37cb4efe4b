// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/durabledir/paxtar"
	"github.com/ateom/ateom/durabledir/treetest"
)

func isChanged(err error) bool {
	return errors.Is(err, ErrChanged) && errors.Is(err, errdefs.ErrAborted)
}

func TestWhatIsNotKeptIsListed(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	makeSocket(t, filepath.Join(dir, "db.sock"))
	must(t, unix.Mknod(filepath.Join(dir, "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	must(t, unix.Mknod(filepath.Join(dir, "loop"), unix.S_IFBLK|0o660, int(unix.Mkdev(7, 0))))
	treetest.Write(t, filepath.Join(dir, "shared"), "x")
	must(t, os.Link(filepath.Join(dir, "shared"), filepath.Join(outside, "shared")))

	_, got := capture(t, dir, CaptureOptions{})
	want := Report{
		Files: 2, Bytes: 1,
		Skipped: []string{`"db.sock": socket`, `"loop": block device`, `"null": character device`},
		Warnings: []string{
			`"shared" has 1 more names outside of the volume; after a restore it is one file with those only that are in a volume of the same snapshot`},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}

func TestContentBeyondTheDeclaredSizeIsRefused(t *testing.T) {
	dir := t.TempDir()
	treetest.MakeSparse(t, filepath.Join(dir, "file"), 100<<20, 0) // a hole is no content
	must(t, syncFileSystem(dir))
	for limit, want := range map[int64]error{0: nil, 64 << 10: nil, 64<<10 - 1: ErrSizeLimit} {
		opts := quick(t)
		opts.SizeLimit = limit
		captures := map[string]func() error{
			"Capture": func() error {
				_, err := Capture(context.Background(), dir, io.Discard, opts.CaptureOptions)
				return err
			},
			"Begin": func() error {
				pass, err := Begin(context.Background(), dir, nil, opts)
				if err == nil {
					pass.Close()
				}
				return err
			},
			"Settle": func() error {
				empty := t.TempDir()
				pass := begin(t, empty, nil, opts)
				must(t, os.WriteFile(filepath.Join(empty, "grown"), make([]byte, 64<<10), 0o600))
				return pass.Settle(context.Background())
			},
		}
		for name, capture := range captures {
			if err := capture(); !errors.Is(err, want) || (err != nil && !errors.Is(err, errdefs.ErrResourceExhausted)) {
				t.Errorf("%s with limit %d: error %v, want %v", name, limit, err, want)
			}
		}
	}
}

func TestListsAreBounded(t *testing.T) {
	dir := t.TempDir()
	for i := range maxListed + 50 {
		must(t, unix.Mknod(filepath.Join(dir, fmt.Sprint(i)), unix.S_IFCHR, int(unix.Mkdev(1, 3))))
	}
	if _, got := capture(t, dir, CaptureOptions{}); len(got.Skipped) != maxListed+1 {
		t.Errorf("%d names listed, want %d and a last line", len(got.Skipped), maxListed)
	}
}

func TestDevicesAreKeptWherePolicyAllows(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	must(t, unix.Mknod(filepath.Join(from, "null"), unix.S_IFCHR|0o640, int(unix.Mkdev(1, 3))))
	must(t, unix.Mknod(filepath.Join(from, "loop"), unix.S_IFBLK|0o604, int(unix.Mkdev(7, 300_000))))
	archive, _ := capture(t, from, CaptureOptions{Devices: true})
	_, err := Restore(context.Background(), bytes.NewReader(archive), to, RestoreOptions{Devices: true})
	must(t, err)
	if diff := cmp.Diff(listing(t, from), listing(t, to)); diff != "" {
		t.Errorf("tree (-captured +restored):\n%s", diff)
	}
}

func TestMountInsideAVolumeIsAnError(t *testing.T) {
	dir := t.TempDir()
	for name, kind := range map[string]string{"dir": "tmpfs", "file": "bind"} {
		t.Run(name, func(t *testing.T) {
			volume := subdir(t, dir, name)
			at, source, flags := subdir(t, volume, "mounted"), "none", uintptr(0)
			if kind == "bind" {
				kind, at, flags = "", filepath.Join(volume, "bound"), unix.MS_BIND
				source = filepath.Join(t.TempDir(), "secret")
				treetest.Write(t, source, "secret")
				treetest.Write(t, at, "")
			}
			must(t, unix.Mount(source, at, kind, flags, ""))
			defer unix.Unmount(at, unix.MNT_DETACH)
			_, err := Capture(context.Background(), volume, io.Discard, CaptureOptions{})
			if !errors.Is(err, ErrMount) || !errors.Is(err, errdefs.ErrFailedPrecondition) {
				t.Errorf("error %v, want ErrMount", err)
			}
		})
	}
}

func TestVolumeThatIsASymlinkIsNotFollowed(t *testing.T) {
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(t.TempDir(), link))
	if _, err := Capture(context.Background(), link, io.Discard, CaptureOptions{}); err == nil {
		t.Error("Capture followed a symlink")
	}
	if _, err := Restore(context.Background(), strings.NewReader(""), link, RestoreOptions{}); err == nil {
		t.Error("Restore followed a symlink")
	}
}

func TestFailingWriterEndsACapture(t *testing.T) {
	dir := t.TempDir()
	treetest.Make(t, dir)
	whole, _ := capture(t, dir, CaptureOptions{})
	full := errors.New("disk full")
	for limit := 0; limit < len(whole); limit += len(whole) / 20 {
		if _, err := Capture(context.Background(), dir, &fullDisk{limit, full}, CaptureOptions{}); !errors.Is(err, full) {
			t.Errorf("after %d bytes: error %v, want that of the writer", limit, err)
		}
	}
}

// A fullDisk takes so many bytes.
type fullDisk struct {
	left int
	err  error
}

func (d *fullDisk) Write(p []byte) (int, error) {
	if len(p) > d.left {
		return d.left, d.err
	}
	d.left -= len(p)
	return len(p), nil
}

func TestCanceledCaptureEnds(t *testing.T) {
	dir := t.TempDir()
	treetest.Make(t, dir)
	ctx, cancel := context.WithCancel(context.Background())
	w := writerFunc(func(p []byte) (int, error) { cancel(); return len(p), nil })
	if _, err := Capture(ctx, dir, w, CaptureOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// A program goes on exchanging files and directories for symlinks out of the
// volume, FIFOs and sockets. A capture may fail; what it writes never holds
// anything from outside, and it always ends.
func TestSymlinkSwapperGetsNothingFromOutside(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	const secret = "the secret outside"
	treetest.Write(t, filepath.Join(outside, "file"), secret)
	treetest.Write(t, filepath.Join(outside, "dir/file"), secret)
	in := func(name string) string { return filepath.Join(dir, name) }
	treetest.Write(t, in("file"), "inside")
	treetest.Write(t, in("dir/file"), "inside")
	must(t, os.Symlink(filepath.Join(outside, "file"), in("file.link")))
	must(t, os.Symlink(filepath.Join(outside, "dir"), in("dir.link")))
	must(t, unix.Mkfifo(in("file.fifo"), 0o600))

	stop := make(chan struct{})
	var swapper sync.WaitGroup
	swapper.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			for _, pair := range [][2]string{{"file", "file.link"}, {"dir", "dir.link"}, {"file", "file.fifo"}} {
				unix.Renameat2(unix.AT_FDCWD, in(pair[0]), unix.AT_FDCWD, in(pair[1]), unix.RENAME_EXCHANGE)
			}
		}
	})
	defer swapper.Wait()
	defer close(stop)
	complete := 0
	for i := range 3000 {
		var b bytes.Buffer
		_, err := Capture(context.Background(), dir, &b, CaptureOptions{})
		switch {
		case err == nil:
			complete++
		case !errors.Is(err, ErrChanged):
			t.Fatalf("capture %d: error %v, want ErrChanged", i, err)
		}
		if bytes.Contains(b.Bytes(), []byte(secret)) {
			t.Fatalf("capture %d holds a file from outside", i)
		}
	}
	if complete == 0 {
		t.Error("no capture was complete: the test shows nothing")
	}
}

func TestTooManyExtentsFillTheHolesAtTheEnd(t *testing.T) {
	list := make([]paxtar.Extent, paxtar.MaxExtents-1)
	for i := range list {
		list[i] = paxtar.Extent{Offset: int64(i) * 2 * holeAlign, Length: holeAlign}
	}
	next := int64(len(list)) * 2 * holeAlign
	list = addExtent(list, next, next+holeAlign, 1<<62)
	last := list[len(list)-1]
	if len(list) != paxtar.MaxExtents-1 || last.Offset+last.Length != next+holeAlign {
		t.Errorf("%d extents up to %d, want %d up to %d", len(list), last.Offset+last.Length, paxtar.MaxExtents-1, next+holeAlign)
	}
}
