// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/artifacts"
)

// DirName is the cache's directory in the node's state directory.
const DirName = "cache"

// lockName is the file whose lock is held while room is made.
const lockName = "lock"

// reservedShare of the file system, one part in so many, is left to others:
// a cache must not be why a Pause finds the disk full.
const reservedShare = 20

// An Object is something that a store has.
type Object struct {
	Digest artifacts.Digest
	// Size in bytes, of the whole object.
	Size int64
}

// A Cache is a directory. Any number of processes may have it open.
type Cache struct {
	dir      string
	capacity int64
	now      func() time.Time
}

// Open opens the cache in dir, which is made where it is missing. It takes at
// most capacity bytes of the disk, and never the last twentieth of it.
func Open(dir string, capacity int64) (*Cache, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open cache: %w", err)
	}
	return &Cache{dir: dir, capacity: capacity, now: time.Now}, nil
}

// PinPacks takes packs into use in the cache in dir; see Open and Pin. Where dir
// is "" there is no cache, and the Set is nil.
func PinPacks(dir string, capacity int64, packs []artifacts.Pack) (*Set, error) {
	if dir == "" {
		return nil, nil
	}
	c, err := Open(dir, capacity)
	if err != nil {
		return nil, err
	}
	objects := make([]Object, 0, len(packs))
	for _, p := range packs {
		objects = append(objects, Object{Digest: p.Digest, Size: int64(p.Size)})
	}
	return c.Pin(objects)
}

// A Usage says how full a cache is.
type Usage struct {
	Objects int
	// Bytes of the disk; objects in use count whole, since they may fill up.
	Bytes int64
}

// A TrimMode says whether Trim evicts or only says what it would.
type TrimMode bool

const (
	ListOnly TrimMode = false
	Evict    TrimMode = true
)

// Trim evicts until the cache takes no more than it may. It returns what went,
// with the bytes of the disk that each took, and what is left. What is in use stays.
func (c *Cache) Trim(mode TrimMode) (evicted []Object, left Usage, err error) {
	unlock, err := c.lock()
	if err != nil {
		return nil, Usage{}, fmt.Errorf("trim cache: %w", err)
	}
	defer unlock()
	r, err := c.scan()
	if err != nil {
		return nil, Usage{}, fmt.Errorf("trim cache: %w", err)
	}
	defer r.release()
	r.mode = mode
	if err := r.makeRoom(0); err != nil {
		return r.evicted, Usage{}, fmt.Errorf("trim cache: %w", err)
	}
	return r.evicted, Usage{Objects: r.pinned + len(r.idle), Bytes: r.used}, nil
}

// lock holds the lock of the directory.
func (c *Cache) lock() (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(c.dir, lockName), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(f, unix.LOCK_EX); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// flock is the system call, which a signal may interrupt.
func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// A room is what a scan has found. The lock of the directory is held.
type room struct {
	allowed int64
	used    int64
	pinned  int
	idle    []idleFile // the least recently used one first
	mode    TrimMode
	evicted []Object
}

// An idleFile is in nobody's use, and the lock on f keeps it so.
type idleFile struct {
	f     *os.File
	bytes int64
	used  time.Time
}

// release lets others have the idle files again.
func (r *room) release() {
	for _, i := range r.idle {
		i.f.Close()
	}
	r.idle = nil
}

// scan looks at all files. Those that are in use count with their full size:
// their users may fill them up without asking again.
func (c *Cache) scan() (*room, error) {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return nil, err
	}
	r := &room{mode: Evict}
	for _, e := range entries {
		if _, ok := parseName(e.Name()); !ok {
			continue
		}
		if err := r.add(filepath.Join(c.dir, e.Name())); err != nil {
			r.release()
			return nil, err
		}
	}
	slices.SortFunc(r.idle, func(a, b idleFile) int { return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.f.Name(), b.f.Name())) })
	r.allowed, err = c.allowed(r.used)
	if err != nil {
		r.release()
		return nil, err
	}
	return r, nil
}

func (r *room) add(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // somebody has tidied up by hand
	}
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		f.Close()
		return &os.PathError{Op: "stat", Path: path, Err: err}
	}
	bytes := st.Blocks * 512 // on every file system
	if flock(f, unix.LOCK_EX|unix.LOCK_NB) != nil {
		f.Close()
		r.pinned++
		r.used += max(wholeBlocks(st.Size), bytes)
		return nil
	}
	r.used += bytes
	r.idle = append(r.idle, idleFile{f: f, bytes: bytes, used: time.Unix(st.Mtim.Unix())})
	return nil
}

// allowed returns how much the cache may take, which is used bytes now.
func (c *Cache) allowed(used int64) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(c.dir, &st); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: c.dir, Err: err}
	}
	free := int64(st.Bavail)*st.Bsize - int64(st.Blocks)*st.Bsize/reservedShare
	return max(0, min(c.capacity, used+free)), nil
}

// makeRoom evicts idle files until need more bytes fit, or none is left.
func (r *room) makeRoom(need int64) error {
	for len(r.idle) > 0 && r.used+need > r.allowed {
		i := r.idle[0]
		var err error
		if r.mode == Evict {
			err = os.Remove(i.f.Name())
		}
		i.f.Close()
		r.idle = r.idle[1:]
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		d, _ := parseName(filepath.Base(i.f.Name()))
		r.evicted = append(r.evicted, Object{Digest: d, Size: i.bytes})
		r.used -= i.bytes
	}
	return nil
}

// fileName is what an object's file is called.
func fileName(d artifacts.Digest) string { return d.Hex() }

func parseName(name string) (artifacts.Digest, bool) {
	var d artifacts.Digest
	err := d.UnmarshalText([]byte("sha256:" + name))
	return d, err == nil
}
