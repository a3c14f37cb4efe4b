// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package bucket

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// A fileStore is a directory: an object's key is its path. gocloud.dev's own
// driver for file:// makes nothing durable and can show an empty object after
// a power cut; this one writes beside, syncs, renames and syncs the directory.
type fileStore struct {
	root tree
	dir  string // root and prefix, for List
	url  string
}

// A tree is what the store uses of an os.Root; a power cut can fall between
// any two of its calls.
type tree interface {
	Open(name string) (*os.File, error)
	OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error)
	Mkdir(name string, perm fs.FileMode) error
	Link(from, to string) error
	Rename(from, to string) error
	Remove(name string) error
	Stat(name string) (fs.FileInfo, error)
	Close() error
}

// tempPrefix begins the names of objects that are not complete. No key has a
// segment that begins with a dot.
const tempPrefix = ".tmp-"

func newFileStore(dir, prefix, url string) (*fileStore, error) {
	dir = filepath.Join(dir, filepath.FromSlash(prefix))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, newError(url, "open", "", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, newError(url, "open", "", err)
	}
	return &fileStore{root: root, dir: dir, url: url}, nil
}

func (s *fileStore) String() string { return s.url }

func (s *fileStore) Close() error { return newError(s.url, "close", "", s.root.Close()) }

func (s *fileStore) Check(context.Context) error {
	_, err := s.root.Stat(".")
	return newError(s.url, "check", "", err)
}

func (s *fileStore) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if err := CheckKey(key); err != nil {
		return nil, err
	}
	f, err := s.root.Open(key)
	if err != nil {
		return nil, newError(s.url, "get", key, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		f.Close()
		return nil, newError(s.url, "get", key, err)
	}
	if rest := max(0, info.Size()-offset); length < 0 || length > rest {
		length = rest
	}
	return &fileReader{ctx: ctx, f: f, r: io.NewSectionReader(f, offset, length)}, nil
}

type fileReader struct {
	ctx context.Context
	f   *os.File
	r   io.Reader
}

func (r *fileReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

func (r *fileReader) Close() error { return r.f.Close() }

func (s *fileStore) Put(ctx context.Context, key string, body io.ReaderAt, size int64) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	b := newBody(ctx, body, size)
	return b.explain(newError(s.url, "put", key, s.write(key, b, s.root.Rename)))
}

func (s *fileStore) Create(ctx context.Context, key string, data []byte) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	return newError(s.url, "create", key, s.write(key, newBody(ctx, bytes.NewReader(data), int64(len(data))), s.root.Link))
}

// write puts the object beside its place, makes it durable, and then into its
// place with commit, which is a rename or, where nothing may be replaced, a link.
func (s *fileStore) write(key string, b *body, commit func(from, to string) error) error {
	dir := path.Dir(key)
	if err := s.makeDirs(dir); err != nil {
		return err
	}
	f, temp, err := s.createTemp(dir)
	if err != nil {
		return err
	}
	defer s.root.Remove(temp) // gone already after a rename
	defer f.Close()
	if _, err := io.Copy(f, b.section()); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := b.ctx.Err(); err != nil {
		return err
	}
	if err := commit(temp, key); err != nil {
		return err
	}
	return s.syncDir(dir)
}

// makeDirs makes the directories of dir, each durable in its parent.
func (s *fileStore) makeDirs(dir string) error {
	if dir == "." {
		return nil
	}
	err := s.root.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrNotExist) {
		if err := s.makeDirs(path.Dir(dir)); err != nil {
			return err
		}
		err = s.root.Mkdir(dir, 0o700)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.syncDir(path.Dir(dir))
}

func (s *fileStore) createTemp(dir string) (*os.File, string, error) {
	for {
		name := path.Join(dir, tempPrefix+randomName())
		f, err := s.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if !errors.Is(err, fs.ErrExist) {
			return f, name, err
		}
	}
}

func (s *fileStore) syncDir(dir string) error {
	f, err := s.root.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

func (s *fileStore) Stat(_ context.Context, key string) (Info, error) {
	if err := CheckKey(key); err != nil {
		return Info{}, err
	}
	info, err := s.root.Stat(key)
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return Info{}, newError(s.url, "stat", key, err)
	}
	return Info{Key: key, Size: info.Size(), ModTime: info.ModTime()}, nil
}

func (s *fileStore) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		if err := checkPrefix(prefix); err != nil {
			yield(Info{}, err)
			return
		}
		start := "."
		if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
			start = prefix[:i]
		}
		if err := s.walk(ctx, start, prefix, yield); err != nil && !errors.Is(err, fs.SkipAll) {
			yield(Info{}, newError(s.url, "list", prefix, err))
		}
	}
}

// walk yields the objects below dir in the order of their keys' bytes: a
// directory sorts as its name with a slash.
func (s *fileStore) walk(ctx context.Context, dir, prefix string, yield func(Info, error) bool) error {
	entries, err := s.sortedEntries(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // removed meanwhile, or never there
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		key := path.Join(dir, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), "."):
			continue
		case e.IsDir():
			if !strings.HasPrefix(key+"/", prefix) && !strings.HasPrefix(prefix, key+"/") {
				continue
			}
			if err := s.walk(ctx, key, prefix, yield); err != nil {
				return err
			}
			continue
		case !strings.HasPrefix(key, prefix) || !e.Type().IsRegular():
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if !yield(Info{Key: key, Size: info.Size(), ModTime: info.ModTime()}, nil) {
			return fs.SkipAll
		}
	}
	return nil
}

func (s *fileStore) Delete(_ context.Context, key string) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	return newError(s.url, "delete", key, s.root.Remove(key))
}
