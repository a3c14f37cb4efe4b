// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/artifacts"
)

// A Set is objects in use: they are not evicted until it is closed. Its
// methods may be called from many goroutines. A nil Set has nothing and keeps nothing.
type Set struct {
	cache *Cache
	files map[artifacts.Digest]*file
}

// Pin takes objects into use and makes room for what is missing of them, in
// their order. Objects for which there is no room are not in the Set: reading them
// is fetching them. The caller closes the Set, also after an error, which
// says why less is kept than could be.
func (c *Cache) Pin(objects []Object) (*Set, error) {
	s := &Set{cache: c, files: make(map[artifacts.Digest]*file, len(objects))}
	var missing []Object
	var need int64
	for _, o := range objects {
		if s.files[o.Digest] != nil {
			continue
		}
		f, err := c.openFile(o)
		if errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, o)
			need += wholeBlocks(o.Size)
			continue
		}
		if err != nil {
			return s, fmt.Errorf("pin cached object %s: %w", o.Digest, err)
		}
		s.files[o.Digest] = f
	}
	if need == 0 {
		return s, nil
	}
	if err := s.reserve(missing, need); err != nil {
		return s, fmt.Errorf("make room in the cache: %w", err)
	}
	return s, nil
}

// reserve makes room for objects and their files.
func (s *Set) reserve(objects []Object, need int64) error {
	unlock, err := s.cache.lock()
	if err != nil {
		return err
	}
	defer unlock()
	r, err := s.cache.scan()
	if err != nil {
		return err
	}
	err = r.makeRoom(min(need, r.allowed))
	r.release()
	if err != nil {
		return err
	}
	for _, o := range objects {
		if s.files[o.Digest] != nil {
			continue
		}
		// Somebody else may have made it since we looked; then its size is counted.
		f, err := s.cache.openFile(o)
		if errors.Is(err, fs.ErrNotExist) {
			if r.used+wholeBlocks(o.Size) > r.allowed {
				continue
			}
			r.used += wholeBlocks(o.Size)
			f, err = s.cache.makeFile(o)
		}
		if err != nil {
			return err
		}
		s.files[o.Digest] = f
	}
	return nil
}

// openFile opens an object's file and takes it into use. The error is
// fs.ErrNotExist where there is none that can be used.
func (c *Cache) openFile(o Object) (*file, error) {
	path := filepath.Join(c.dir, fileName(o.Digest))
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	err = flock(f, unix.LOCK_SH)
	if err == nil {
		err = unix.Fstat(int(f.Fd()), &st)
	}
	if err == nil && (st.Nlink == 0 || st.Size != o.Size) {
		err = fs.ErrNotExist // evicted before it was locked, or not made to the end
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	opened := &file{f: f, size: o.Size}
	opened.touch(c.now())
	return opened, nil
}

// makeFile makes the empty file of an object; the lock of the directory is held.
func (c *Cache) makeFile(o Object) (*file, error) {
	f, err := os.OpenFile(filepath.Join(c.dir, fileName(o.Digest)), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err = flock(f, unix.LOCK_SH); err == nil {
		err = f.Truncate(o.Size)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	made := &file{f: f, size: o.Size}
	made.touch(c.now())
	return made, nil
}

// A Fetch reads exactly len(p) bytes at off of an object from its store.
type Fetch func(ctx context.Context, off int64, p []byte) error

// Read returns n bytes at off of an object: those of the cache, or else what
// fetch brings, which the cache keeps. Around the bytes it may fetch a little
// more, never past the object's end. Of several who want the same bytes, in
// whatever process, one fetches. The error is fetch's or the context's.
func (s *Set) Read(ctx context.Context, object artifacts.Digest, off int64, n int, fetch Fetch) (p []byte, err error) {
	f := s.file(object)
	if f == nil || off < 0 || off+int64(n) > f.size {
		p = make([]byte, n)
		return p, fetch(ctx, off, p)
	}
	return f.read(ctx, off, n, fetch)
}

// Has reports whether the cache seems to have n bytes at off of an object.
func (s *Set) Has(object artifacts.Digest, off int64, n int) bool {
	f := s.file(object)
	return f != nil && f.has(off&^(block-1), off+int64(n))
}

// Forget drops bytes that turned out not to be the object's.
func (s *Set) Forget(object artifacts.Digest, off int64, n int) {
	if f := s.file(object); f != nil {
		f.forget(off, off+int64(n))
	}
}

func (s *Set) file(object artifacts.Digest) *file {
	if s == nil {
		return nil
	}
	return s.files[object]
}

// Close gives the objects up; it notes that they have been in use until now.
func (s *Set) Close() error {
	if s == nil {
		return nil
	}
	var errs []error
	for _, f := range s.files {
		f.touch(s.cache.now())
		errs = append(errs, f.f.Close())
	}
	return errors.Join(errs...)
}
