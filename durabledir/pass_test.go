// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/durabledir/treetest"
)

// quick are options under which a file rests as soon as the clock has ticked
// after its last change.
func quick(t testing.TB) PassOptions {
	t.Helper()
	return PassOptions{Spool: t.TempDir(), KeepIndex: true, rest: new(time.Duration)}
}

// tick returns when the clock that stamps files has gone on.
func tick(t testing.TB) {
	t.Helper()
	start := time.Now()
	for time.Since(start) < 10*time.Second {
		var now unix.Timespec
		must(t, unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &now))
		if time.Unix(now.Unix()).After(start) {
			return
		}
	}
	t.Fatal("the clock stands still")
}

func begin(t testing.TB, dir string, index *Index, opts PassOptions) *Pass {
	t.Helper()
	tick(t)
	p, err := Begin(context.Background(), dir, index, opts)
	must(t, err)
	t.Cleanup(func() { must(t, p.Close()) })
	return p
}

func settle(t testing.TB, p *Pass) {
	t.Helper()
	must(t, p.Settle(context.Background()))
}

// finish returns the archive; previous is the one that the pass may reuse.
func finish(t testing.TB, p *Pass, previous ...[]byte) []byte {
	t.Helper()
	b := archive{previous: bytes.Join(previous, nil)}
	_, err := p.Finish(context.Background(), &b)
	must(t, err)
	if p.spool != nil {
		if size, err := p.Size(); err != nil || size != int64(b.Len()) {
			t.Errorf("Size %d, %v, where the archive has %d bytes", size, err, b.Len())
		}
	}
	return b.Bytes()
}

func TestPassKeepsTheStateOfTheFreeze(t *testing.T) {
	for _, at := range places(t) {
		t.Run(at.name, func(t *testing.T) {
			dir := subdir(t, at.dir, "volume")
			treetest.Make(t, dir)
			in := func(name string) string { return filepath.Join(dir, name) }
			treetest.Write(t, in("swapped/one"), "first content")
			treetest.Write(t, in("swapped/two"), "other content")
			pass := begin(t, dir, nil, quick(t))

			treetest.Write(t, in("plain.txt"), "changed before the freeze")
			treetest.Write(t, in("new/file"), "new")
			must(t, os.Remove(in("block")))
			must(t, os.Rename(in("a/b"), in("renamed")))
			must(t, os.Chmod(in("large.bin"), 0o600))
			must(t, os.Rename(in("swapped/one"), in("swapped/three")))
			must(t, os.Rename(in("swapped/two"), in("swapped/one")))
			must(t, os.Rename(in("swapped/three"), in("swapped/two")))
			treetest.MakeSparse(t, in("sparse/new"), 10<<20, 5<<20)
			settle(t, pass)
			want, _ := capture(t, dir, CaptureOptions{})

			treetest.Write(t, in("plain.txt"), "changed after the freeze")
			must(t, os.RemoveAll(in("names")))
			must(t, os.Truncate(in("large.bin"), 10))
			if !bytes.Equal(want, finish(t, pass)) {
				t.Error("the archive is not what Capture made during the freeze")
			}
		})
	}
}

func TestStoreThroughAMappingIsNotLost(t *testing.T) {
	for _, at := range places(t) {
		t.Run(at.name, func(t *testing.T) {
			dir := subdir(t, at.dir, "volume")
			name := filepath.Join(dir, "mapped")
			treetest.Write(t, name, strings.Repeat(".", 4096))
			f, err := os.OpenFile(name, os.O_RDWR, 0)
			must(t, err)
			defer f.Close()
			page, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
			must(t, err)
			defer unix.Munmap(page)

			copy(page, "before") // the page is dirty and writable from here on
			pass := begin(t, dir, nil, quick(t))
			copy(page, "during")
			settle(t, pass)
			archive := finish(t, pass)
			if !bytes.Contains(archive, []byte("during")) {
				t.Error("the archive has the page as it was before the freeze")
			}

			// The next pass trusts the index of one that has read a dirty page too.
			second := begin(t, dir, pass.Index(), quick(t))
			settle(t, second)
			archive = finish(t, second, archive)
			copy(page, "second")
			third := begin(t, dir, second.Index(), quick(t))
			copy(page, "third.")
			settle(t, third)
			if !bytes.Contains(finish(t, third, archive), []byte("third.")) {
				t.Error("the archive has the page as it was at the pass before")
			}
		})
	}
}

// A file that is being written when the pass begins has a ctime that tells
// nothing: it has to be read again.
func TestFileThatDoesNotRestIsReadInTheFreeze(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "file")
	treetest.Write(t, name, "before")
	pass := begin(t, dir, nil, PassOptions{Spool: t.TempDir(), KeepIndex: true}) // the real restingTime
	if len(pass.kept) > 0 {
		t.Error("a file that was just written was taken for resting")
	}
	settle(t, pass)
	if archive := finish(t, pass); !bytes.Contains(archive, []byte("before")) {
		t.Error("the archive lacks the file")
	}
	if len(pass.Index().entries) > 0 {
		t.Error("the index trusts a file that was just written")
	}
}

// An archive is a Segmenter: it copies from the one before and counts.
type archive struct {
	bytes.Buffer
	previous []byte
	reused   int64
	calls    int
	cuts     []int64
}

func (a *archive) Cut() error {
	if n := int64(a.Len()); n > 0 && (len(a.cuts) == 0 || a.cuts[len(a.cuts)-1] < n) {
		a.cuts = append(a.cuts, n)
	}
	return nil
}

func (a *archive) Reuse(offset, length int64) error {
	a.reused += length
	a.calls++
	_, err := a.Write(a.previous[offset : offset+length])
	return err
}

func TestIndexSavesReadingWhatDidNotChange(t *testing.T) {
	for _, at := range places(t) {
		if at.name == "tmpfs" {
			continue // nothing tells of its changes
		}
		t.Run(at.name, func(t *testing.T) {
			dir := subdir(t, at.dir, "volume")
			treetest.Make(t, dir)
			first := begin(t, dir, nil, quick(t))
			old := finish(t, first)
			data, err := first.Index().MarshalBinary()
			must(t, err)
			index := new(Index)
			must(t, index.UnmarshalBinary(data))

			treetest.Write(t, filepath.Join(dir, "a/b/c/deep.txt"), "DEEP")
			second := begin(t, dir, index, quick(t))
			settle(t, second)
			got := archive{previous: old}
			report, err := second.Finish(context.Background(), &got)
			must(t, err)
			want, wantReport := capture(t, dir, CaptureOptions{})
			if !bytes.Equal(want, got.Bytes()) {
				t.Error("the archive is not what Capture makes")
			}
			if report.Files != wantReport.Files || report.Bytes != wantReport.Bytes {
				t.Errorf("report %+v, want %+v", report, wantReport)
			}
			if rest := int64(len(want)) - got.reused; rest > 8*segmentBytes || got.calls > 2 {
				t.Errorf("%d bytes not reused, in %d pieces; want the changed segment and the end, in 2", rest, got.calls)
			}

			third := begin(t, dir, second.Index(), quick(t))
			again := archive{previous: want}
			_, err = third.Finish(context.Background(), &again)
			must(t, err)
			if !bytes.Equal(want, again.Bytes()) {
				t.Error("the copied archive differs")
			}
		})
	}
}

func TestOtherContentOfSameSizeAndTimeIsNoticed(t *testing.T) {
	for _, at := range places(t) {
		t.Run(at.name, func(t *testing.T) {
			dir := subdir(t, at.dir, "volume")
			name := filepath.Join(dir, "file")
			treetest.Write(t, name, "one")
			when := time.Unix(1_500_000_000, 42)
			must(t, os.Chtimes(name, when, when))
			first := begin(t, dir, nil, quick(t))
			old := finish(t, first)

			treetest.Write(t, name, "two")
			must(t, os.Chtimes(name, when, when))
			second := begin(t, dir, first.Index(), quick(t))
			if got := finish(t, second, old); !bytes.Contains(got, []byte("two")) {
				t.Error("the archive has the old content")
			}
		})
	}
}

func TestIndexWithoutItsArchiveIsAnError(t *testing.T) {
	dir := t.TempDir()
	treetest.Write(t, filepath.Join(dir, "file"), "x")
	first := begin(t, dir, nil, quick(t))
	finish(t, first)
	second := begin(t, dir, first.Index(), quick(t))
	if _, err := second.Finish(context.Background(), io.Discard); err == nil {
		t.Error("Finish succeeded without the previous archive")
	}
}

func TestDamagedIndexIsRefused(t *testing.T) {
	dir := t.TempDir()
	for i := range 5 {
		treetest.Write(t, filepath.Join(dir, fmt.Sprint(i)), "x")
	}
	must(t, os.Link(filepath.Join(dir, "1"), filepath.Join(dir, "link")))
	pass := begin(t, dir, nil, quick(t))
	finish(t, pass)
	data, err := pass.Index().MarshalBinary()
	must(t, err)
	for i := range data {
		if new(Index).UnmarshalBinary(data[:i]) == nil {
			t.Errorf("cut to %d bytes it is read", i)
		}
		bad := bytes.Clone(data)
		bad[i] ^= 1
		if new(Index).UnmarshalBinary(bad) == nil {
			t.Errorf("with byte %d changed it is read", i)
		}
	}
}

func TestFrozenVolumeThatChangesIsAnError(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "file")
	treetest.Write(t, name, "x")
	pass := begin(t, dir, nil, PassOptions{}) // no spool: Finish reads the volume
	settle(t, pass)
	treetest.Write(t, name, "y")
	if _, err := pass.Finish(context.Background(), io.Discard); !isChanged(err) {
		t.Errorf("error %v, want ErrChanged", err)
	}
}
