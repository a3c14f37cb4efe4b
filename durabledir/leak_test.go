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
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/durabledir/treetest"
)

// Captures and restores that succeed, fail and are canceled leave no open file
// and no goroutine.
func TestNothingIsLeftOpen(t *testing.T) {
	dir := t.TempDir()
	treetest.Make(t, dir)
	archive, _ := capture(t, dir, CaptureOptions{})
	opts := quick(t)
	scratch := t.TempDir()
	files, routines := openFiles(t), runtime.NumGoroutine()
	for i := range 20 {
		into := subdir(t, scratch, strings.Repeat("x", i+1))
		ctx, cancel := context.WithCancel(context.Background())
		Capture(ctx, dir, &fullDisk{len(archive) * i / 20, io.ErrShortWrite}, CaptureOptions{})
		Restore(ctx, bytes.NewReader(archive[:len(archive)*(i+1)/20]), into, RestoreOptions{AllXattrs: true})
		pass, err := Begin(ctx, dir, nil, opts)
		must(t, err)
		must(t, pass.Settle(ctx))
		pass.Finish(ctx, &fullDisk{len(archive) * i / 20, io.ErrShortWrite})
		cancel()
		pass.Finish(ctx, io.Discard)
		must(t, pass.Close())
		must(t, pass.Close())
		Begin(ctx, dir, nil, opts)
		Begin(ctx, filepath.Join(dir, "nothing"), nil, opts)
		Begin(ctx, dir, nil, PassOptions{Spool: filepath.Join(dir, "nothing")})
	}
	if got := openFiles(t); got != files {
		t.Errorf("%d files are open, before it were %d", got, files)
	}
	// Goroutines that have done their work may not be gone yet.
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > routines && time.Now().Before(end); {
		runtime.Gosched()
	}
	if got := runtime.NumGoroutine(); got > routines {
		t.Errorf("%d goroutines run, before it were %d", got, routines)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	return len(namesIn(t, "/proc/self/fd"))
}

func TestFullDiskEndsARestoreAndIsCleared(t *testing.T) {
	dir := t.TempDir()
	must(t, unix.Mount("none", dir, "tmpfs", 0, "size=2m"))
	defer unix.Unmount(dir, unix.MNT_DETACH)
	for name, archive := range map[string][]byte{
		"one large file":   tarOf(dirEntry("d"), fileEntry("d/f", strings.Repeat("x", 4<<20))),
		"many small files": tarOf(manyFiles(100, 50<<10)...),
	} {
		into := subdir(t, dir, "into")
		_, err := Restore(context.Background(), bytes.NewReader(archive), into, RestoreOptions{})
		if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), `restore "`) {
			t.Errorf("%s: error %v, want ENOSPC and the entry", name, err)
		}
		if left := namesIn(t, into); len(left) > 0 {
			t.Errorf("%s: left behind %q", name, left)
		}
		must(t, os.Remove(into))
	}
}

func manyFiles(n, size int) []raw {
	entries := make([]raw, n)
	for i := range entries {
		entries[i] = fileEntry(strings.Repeat("n", i+1), strings.Repeat("x", size))
		if i >= 100 {
			panic("names longer than a header holds")
		}
	}
	return entries
}

func TestFullSpoolIsAnError(t *testing.T) {
	dir, spool := t.TempDir(), t.TempDir()
	must(t, unix.Mount("none", spool, "tmpfs", 0, "size=1m"))
	defer unix.Unmount(spool, unix.MNT_DETACH)
	treetest.Write(t, filepath.Join(dir, "large"), strings.Repeat("x", 3<<20))
	treetest.Write(t, filepath.Join(dir, "small"), "x")
	opts := quick(t)
	opts.Spool = spool
	tick(t)
	if _, err := Begin(context.Background(), dir, nil, opts); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("error %v, want ENOSPC", err)
	}
}

func TestCanceledRestoreIsCleared(t *testing.T) {
	archive := tarOf(manyFiles(100, 10<<10)...)
	for n := 0; n < len(archive); n += len(archive) / 10 {
		ctx, cancel := context.WithCancel(context.Background())
		r := io.MultiReader(bytes.NewReader(archive[:n]), readerFunc(func([]byte) (int, error) { cancel(); return 0, io.EOF }))
		dir := t.TempDir()
		if _, err := Restore(ctx, io.MultiReader(r, bytes.NewReader(archive[n:])), dir, RestoreOptions{}); !errors.Is(err, context.Canceled) {
			t.Errorf("after %d bytes: error %v, want context.Canceled", n, err)
		}
		if left := namesIn(t, dir); len(left) > 0 {
			t.Errorf("after %d bytes: left behind %d files", n, len(left))
		}
		cancel()
	}
}
