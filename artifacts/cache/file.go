// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"context"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// block is what holes are made of: the page size, and the block size of most
	// file systems. Whole blocks are fetched, so that no block is half there.
	block = 4 << 10
	// lockPoll is how often a reader looks whether what another process fetches
	// has arrived: well below the time that a store takes to answer.
	lockPoll = 2 * time.Millisecond
	// lockLimit is how long a reader trusts another process to fetch. One that is
	// stopped or slow must not stop the others.
	lockLimit = 5 * time.Second
)

// A file holds what the cache has of one object.
type file struct {
	f    *os.File
	size int64
}

// wholeBlocks rounds a size up.
func wholeBlocks(n int64) int64 { return (n + block - 1) &^ (block - 1) }

// touch notes a use. Where that fails, the object seems older than it is.
func (f *file) touch(now time.Time) {
	t := unix.NsecToTimeval(now.UnixNano())
	_ = unix.Futimes(int(f.f.Fd()), []unix.Timeval{t, t})
}

func (f *file) read(ctx context.Context, off int64, n int, fetch Fetch) ([]byte, error) {
	start := off &^ (block - 1)
	end := min(wholeBlocks(off+int64(n)), f.size)
	if p, ok := f.cached(start, end, off, n); ok {
		return p, nil
	}
	locked, err := f.lock(ctx, start, end)
	if err != nil {
		return nil, err
	}
	if locked {
		defer f.setLock(unix.F_UNLCK, start, end)
		if p, ok := f.present(start, end, off, n); ok {
			return p, nil // somebody else was faster
		}
	}
	p := make([]byte, end-start)
	if err := fetch(ctx, start, p); err != nil {
		return nil, err
	}
	if locked {
		// Without room on the disk nothing is kept; what a short write leaves are
		// whole blocks, and what it does not are none, or found out by their digest.
		_, _ = f.f.WriteAt(p, start)
	}
	return p[off-start:][:n], nil
}

// cached returns bytes that are there and that nobody is writing.
func (f *file) cached(start, end, off int64, n int) ([]byte, bool) {
	if !f.setLock(unix.F_RDLCK, start, end) {
		return nil, false
	}
	defer f.setLock(unix.F_UNLCK, start, end)
	return f.present(start, end, off, n)
}

// present returns bytes that are there; the caller has a lock on the range.
func (f *file) present(start, end, off int64, n int) ([]byte, bool) {
	if !f.has(start, end) {
		return nil, false
	}
	p := make([]byte, n)
	if _, err := f.f.ReadAt(p, off); err != nil && err != io.EOF {
		return nil, false
	}
	return p, true
}

// has reports whether there is no hole between start and end.
func (f *file) has(start, end int64) bool {
	hole, err := unix.Seek(int(f.f.Fd()), start, unix.SEEK_HOLE)
	return err == nil && hole >= end
}

// forget makes a hole.
func (f *file) forget(start, end int64) {
	start, end = start&^(block-1), wholeBlocks(end)
	// Where that fails, the bytes are found to be wrong again next time.
	_ = unix.Fallocate(int(f.f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, start, end-start)
}

// lock waits until nobody else fetches what lies between start and end. It
// gives up waiting after a while, and where there are no locks.
func (f *file) lock(ctx context.Context, start, end int64) (locked bool, err error) {
	if f.setLock(unix.F_WRLCK, start, end) {
		return true, nil
	}
	limit := time.NewTimer(lockLimit)
	defer limit.Stop()
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-limit.C:
			return false, nil
		case <-tick.C:
			if f.setLock(unix.F_WRLCK, start, end) {
				return true, nil
			}
		}
	}
}

// setLock changes this open file's lock on a range, without waiting. Locks of
// open files end with them, and so with a process, and do not conflict within one file.
func (f *file) setLock(kind int16, start, end int64) bool {
	l := unix.Flock_t{Type: kind, Whence: unix.SEEK_SET, Start: start, Len: end - start}
	for {
		err := unix.FcntlFlock(f.f.Fd(), unix.F_OFD_SETLK, &l)
		if err != unix.EINTR {
			return err == nil
		}
	}
}
