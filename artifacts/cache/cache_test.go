// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

func openTest(t *testing.T, capacity int64) *Cache {
	t.Helper()
	c, err := Open(filepath.Join(t.TempDir(), "cache"), capacity)
	must(t, err)
	return c
}

func pin(t *testing.T, c *Cache, objects ...Object) *Set {
	t.Helper()
	s, err := c.Pin(objects)
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func read(t *testing.T, s *Set, o sample, off int64, n int) (fetched int64) {
	t.Helper()
	p, err := s.Read(t.Context(), o.Digest, off, n, o.fetch(&fetched))
	must(t, err)
	if !bytes.Equal(p, o.bytes[off:][:n]) {
		t.Errorf("read other bytes at %d+%d", off, n)
	}
	return fetched
}

func TestWhatWasFetchedIsNotFetchedAgain(t *testing.T) {
	c := openTest(t, 1<<20)
	o := newSample(1, 100_000)
	s := pin(t, c, o.Object)
	if s.Has(o.Digest, 0, 1) {
		t.Error("an empty cache has bytes")
	}
	if got := read(t, s, o, 5000, 10_000); got != 12<<10 {
		t.Errorf("fetched %d bytes for 10000 in three blocks", got)
	}
	if got := read(t, s, o, 4096, 12<<10); got != 0 {
		t.Errorf("fetched %d bytes that were there", got)
	}
	if got := read(t, s, o, 99_000, 1000); got != 100_000-96<<10 {
		t.Errorf("fetched %d bytes at the end", got)
	}
	must(t, s.Close())
	s = pin(t, c, o.Object)
	if got := read(t, s, o, 99_999, 1); got != 0 {
		t.Errorf("fetched %d bytes that the last user had", got)
	}
	if !s.Has(o.Digest, 5000, 10_000) || s.Has(o.Digest, 0, 5000) {
		t.Error("it does not know what it has")
	}
}

func TestWhatIsForgottenIsFetchedAgain(t *testing.T) {
	c := openTest(t, 1<<20)
	o := newSample(1, 64<<10)
	s := pin(t, c, o.Object)
	read(t, s, o, 0, 64<<10)
	path := filepath.Join(c.dir, fileName(o.Digest))
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt([]byte("damage"), 9000)
	must(t, err)
	must(t, f.Close())
	p, err := s.Read(t.Context(), o.Digest, 9000, 6, nil)
	if err != nil || string(p) != "damage" {
		t.Fatalf("read %q, %v", p, err)
	}
	s.Forget(o.Digest, 9000, 6)
	if got := read(t, s, o, 9000, 6); got != 4096 {
		t.Errorf("fetched %d bytes", got)
	}
	if got := read(t, s, o, 0, 64<<10); got != 0 {
		t.Errorf("fetched %d bytes more", got)
	}
}

func TestOldestGoesAndWhatIsInUseStays(t *testing.T) {
	c := openTest(t, 300<<10)
	now := time.Now()
	c.now = func() time.Time { now = now.Add(time.Second); return now }
	var all []sample
	for i := range 5 {
		all = append(all, newSample(uint64(i), 100<<10))
	}
	fill := func(i int) *Set {
		s := pin(t, c, all[i].Object)
		read(t, s, all[i], 0, 100<<10)
		return s
	}
	has := func(i int) bool {
		_, err := os.Stat(filepath.Join(c.dir, fileName(all[i].Digest)))
		return err == nil
	}
	inUse := fill(0)
	must(t, fill(1).Close())
	must(t, fill(2).Close())
	must(t, fill(1).Close()) // 2 is the oldest now, but for 0, which is in use
	must(t, fill(3).Close())
	for i, want := range []bool{true, true, false, true, false} {
		if has(i) != want {
			t.Errorf("object %d is there: %v, want %v", i, has(i), want)
		}
	}
	read(t, inUse, all[0], 0, 100<<10)

	// With all of it in use, the next object is not kept, and can be read.
	pin(t, c, all[1].Object)
	pin(t, c, all[3].Object)
	s := pin(t, c, all[4].Object)
	for range 2 {
		if got := read(t, s, all[4], 0, 100<<10); got != 100<<10 {
			t.Errorf("fetched %d bytes", got)
		}
	}
	if has(4) {
		t.Error("it is kept, and there was no room")
	}
}

func TestTrimKeepsToASmallerCapacity(t *testing.T) {
	c := openTest(t, 1<<20)
	for i := range 8 {
		o := newSample(uint64(i), 64<<10)
		s := pin(t, c, o.Object)
		read(t, s, o, 0, 64<<10)
		must(t, s.Close())
	}
	_, used, err := c.Trim(Evict)
	must(t, err)
	if used.Objects != 8 || used.Bytes < 8*64<<10 {
		t.Errorf("%+v", used)
	}
	c.capacity = 200 << 10
	for _, mode := range []TrimMode{ListOnly, Evict} {
		evicted, used, err := c.Trim(mode)
		if err != nil || len(evicted) != 5 || used.Objects != 3 || used.Bytes > c.capacity {
			t.Errorf("%d evicted, %+v, %v", len(evicted), used, err)
		}
	}
	c.capacity = 0
	if _, used, err = c.Trim(Evict); err != nil || used != (Usage{}) {
		t.Errorf("%+v, %v", used, err)
	}
	o := newSample(1, 64<<10)
	s := pin(t, c, o.Object) // a cache of no size keeps nothing and fails nobody
	read(t, s, o, 0, 1000)
	var none *Set
	read(t, none, o, 0, 1000)
	none.Forget(o.Digest, 0, 1000)
	if none.Has(o.Digest, 0, 1) || none.Close() != nil {
		t.Error("no set has something")
	}
}

func TestAFetchThatFailsKeepsNothing(t *testing.T) {
	c := openTest(t, 1<<20)
	o := newSample(1, 64<<10)
	s := pin(t, c, o.Object)
	broken := errors.New("broken")
	if _, err := s.Read(t.Context(), o.Digest, 0, 100, func(context.Context, int64, []byte) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("read: %v", err)
	}
	if s.Has(o.Digest, 0, 1) {
		t.Error("something was kept")
	}
	read(t, s, o, 0, 100)
}

func TestADeadFetcherStopsNobody(t *testing.T) {
	c := openTest(t, 1<<20)
	o := newSample(1, 64<<10)
	dead, s := pin(t, c, o.Object), pin(t, c, o.Object)
	if !dead.files[o.Digest].setLock(1, 0, 4096) { // F_WRLCK
		t.Fatal("no lock")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Read(ctx, o.Digest, 0, 100, o.fetch(new(int64))); !errors.Is(err, context.Canceled) {
		t.Errorf("read while another one fetches: %v, want canceled", err)
	}
	must(t, dead.Close()) // as the end of its process does
	if got := read(t, s, o, 0, 100); got != 4096 {
		t.Errorf("fetched %d bytes", got)
	}
}

const readerEnv = "ATEOM_TEST_CACHE_READER"

// readerMain is a process that reads a whole object through the cache in a
// directory and appends a line for each fetch to a file.
func readerMain() {
	dir := os.Getenv(readerEnv)
	err := func() error {
		o := newSample(7, 8<<20)
		c, err := Open(dir, 64<<20)
		if err != nil {
			return err
		}
		s, err := c.Pin([]Object{o.Object})
		if err != nil {
			return err
		}
		defer s.Close()
		log, err := os.OpenFile(filepath.Join(dir, "fetches"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		defer log.Close()
		const step = 200_000 // no multiple of a block
		for off := int64(0); off < o.Size; off += step {
			n := int(min(step, o.Size-off))
			p, err := s.Read(context.Background(), o.Digest, off, n, func(_ context.Context, off int64, p []byte) error {
				copy(p, o.bytes[off:])
				_, err := fmt.Fprintf(log, "%d\n", len(p))
				return err
			})
			if err != nil {
				return err
			}
			if !bytes.Equal(p, o.bytes[off:][:n]) {
				return fmt.Errorf("read other bytes at %d", off)
			}
		}
		return nil
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// TestManyProcessesFetchOnce starts twelve processes that all want the same
// object at the same time.
func TestManyProcessesFetchOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	var group errgroup.Group
	for range 12 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), readerEnv+"="+dir)
		group.Go(func() error {
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		})
	}
	must(t, group.Wait())
	data, err := os.ReadFile(filepath.Join(dir, "fetches"))
	must(t, err)
	var sum, count int
	for line := range bytes.Lines(data) {
		n, err := strconv.Atoi(string(bytes.TrimSpace(line)))
		must(t, err)
		sum, count = sum+n, count+1
	}
	// Two neighbours share a block where the reads are not aligned.
	if want := 8<<20/200_000 + 1; count != want || sum > 8<<20+count*block {
		t.Errorf("%d fetches of %d bytes; want %d of %d", count, sum, want, 8<<20)
	}
}

// TestAFullDiskCostsTimeAlone uses a file system of 4 MiB.
func TestAFullDiskCostsTimeAlone(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Fatalf("mount a small file system (as root): %v", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	c, err := Open(filepath.Join(dir, "cache"), 1<<30)
	must(t, err)
	old, o := newSample(1, 2<<20), newSample(2, 2<<20)
	s := pin(t, c, old.Object)
	read(t, s, old, 0, 2<<20)
	must(t, s.Close())

	// The disk fills up after room was made: what is read is right all the same.
	s = pin(t, c, o.Object)
	read(t, s, o, 0, 1<<20)
	filler := filepath.Join(dir, "filler")
	f, err := os.Create(filler)
	must(t, err)
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	must(t, f.Close())
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	for range 2 {
		read(t, s, o, 1<<20, 1<<20)
	}
	if got := read(t, s, o, 0, 1<<20); got != 0 {
		t.Errorf("fetched %d bytes that were there", got)
	}
	must(t, s.Close())

	// A disk that others have filled is none that a cache adds to.
	_, left, err := c.Trim(Evict)
	must(t, err)
	if left != (Usage{}) {
		t.Errorf("on a full disk the cache keeps %+v", left)
	}
	must(t, os.Truncate(filler, 1<<20))
	s = pin(t, c, o.Object)
	read(t, s, o, 0, 2<<20)
	if got := read(t, s, o, 0, 2<<20); got != 0 {
		t.Errorf("fetched %d bytes again", got)
	}
}
