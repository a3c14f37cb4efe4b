// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/artifacts"
)

// A Store is a directory of snapshots. Any number of processes may have the
// same one open: every change is one rename.
type Store struct {
	dir  string
	disk disk
}

// A Snapshot is a published, immutable snapshot.
type Snapshot struct {
	Manifest *artifacts.Manifest
	// Dir is its directory; see the package's documentation for the layout.
	Dir string
}

// Open opens the store in dir and makes its directories, mode 0700, where they
// are missing. It changes nothing else: leftovers of crashes stay until Sweep.
func Open(dir string) (*Store, error) { return open(dir, osDisk{}) }

func open(dir string, d disk) (*Store, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open local store %s: %w", dir, err)
	}
	if err := os.MkdirAll(filepath.Dir(abs), 0o755); err != nil {
		return nil, fmt.Errorf("open local store: %w", err)
	}
	s := &Store{dir: abs, disk: d}
	made := false
	for _, path := range []string{abs, filepath.Join(abs, snapshotsName), filepath.Join(abs, draftsName)} {
		err := d.mkdir(path)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("open local store: %w", err)
		}
		made = made || err == nil
	}
	if !made {
		return s, nil
	}
	for _, path := range []string{abs, filepath.Dir(abs)} {
		if err := d.syncDir(path); err != nil {
			return nil, fmt.Errorf("open local store: %w", err)
		}
	}
	return s, nil
}

// Dir returns the store's directory, absolute.
func (s *Store) Dir() string { return s.dir }

func (s *Store) snapshotDir(id artifacts.ID) string {
	return filepath.Join(s.dir, snapshotsName, string(id))
}

func (s *Store) draftDir(id artifacts.ID) string {
	return filepath.Join(s.dir, draftsName, string(id))
}

// Get returns a published snapshot. It reads the manifest and no part. The
// error is ErrNotFound where there is none, ErrInvalidArgument for a bad id, and
// ErrDataLoss for a manifest that cannot be read or is another snapshot's.
func (s *Store) Get(id artifacts.ID) (*Snapshot, error) {
	if _, err := artifacts.ParseID(string(id)); err != nil {
		return nil, fmt.Errorf("get snapshot: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	dir := s.snapshotDir(id)
	m, err := ReadManifest(dir)
	return s.got(id, dir, m, err)
}

// got is what Get returns for the manifest that was read in dir, or was not.
func (s *Store) got(id artifacts.ID, dir string, m *artifacts.Manifest, err error) (*Snapshot, error) {
	if errors.Is(err, fs.ErrNotExist) {
		if _, statErr := os.Stat(dir); errors.Is(statErr, fs.ErrNotExist) {
			return nil, fmt.Errorf("get snapshot %s: not in local store %s: %w", id, s.dir, errdefs.ErrNotFound)
		}
		return nil, fmt.Errorf("get snapshot %s: it has lost its manifest: %w", id, errdefs.ErrDataLoss)
	}
	if err != nil {
		return nil, fmt.Errorf("get snapshot %s: %w", id, err)
	}
	if m.ID != id {
		return nil, fmt.Errorf("get snapshot %s: its manifest is that of %s: %w", id, m.ID, errdefs.ErrDataLoss)
	}
	return &Snapshot{Manifest: m, Dir: dir}, nil
}

// ReadManifest reads the manifest of the snapshot in dir. The error is
// fs.ErrNotExist where there is none, ErrDataLoss for one that cannot be decoded, and
// ErrNotImplemented for one of a later format.
func ReadManifest(dir string) (*artifacts.Manifest, error) {
	var data bytes.Buffer
	if err := loadManifest(dir, &data); err != nil {
		return nil, err
	}
	return decodeManifest(dir, data.Bytes())
}

// loadManifest replaces what is in data by the bytes of the manifest in dir.
func loadManifest(dir string, data *bytes.Buffer) error {
	f, err := os.Open(ManifestPath(dir))
	if err != nil {
		return fmt.Errorf("read manifest: %w", err)
	}
	defer f.Close()
	data.Reset()
	if _, err := data.ReadFrom(io.LimitReader(f, artifacts.MaxManifestSize+1)); err != nil {
		return fmt.Errorf("read manifest: %w", err)
	}
	return nil
}

func decodeManifest(dir string, data []byte) (*artifacts.Manifest, error) {
	m, err := artifacts.DecodeManifest(data)
	if errors.Is(err, errdefs.ErrNotImplemented) {
		return nil, fmt.Errorf("read manifest %s: %w", ManifestPath(dir), err)
	}
	if err != nil {
		// What cannot be decoded is nobody's invalid argument.
		return nil, fmt.Errorf("read manifest %s: %w: %v", ManifestPath(dir), errdefs.ErrDataLoss, err)
	}
	return m, nil
}

// List returns the published snapshots in the order of their ids, which is
// that of their creation. One that Get would refuse is left out.
func (s *Store) List() (all []*Snapshot, err error) {
	err = s.Each("", func(snap *Snapshot) { all = append(all, snap) })
	slices.SortFunc(all, func(a, b *Snapshot) int { return strings.Compare(string(a.Manifest.ID), string(b.Manifest.ID)) })
	return all, err
}

// namesAtOnce is how many names of a directory are read at a time.
const namesAtOnce = 64

// Each calls do with the snapshots that List returns, in no order, but for those whose
// manifests do not have the given text in them. A node may have thousands: one is
// read at a time, and decoded only if it has the text.
func (s *Store) Each(text string, do func(*Snapshot)) error {
	dir, err := os.Open(filepath.Join(s.dir, snapshotsName))
	if err != nil {
		return fmt.Errorf("list snapshots: %w", err)
	}
	defer dir.Close()
	var data bytes.Buffer
	for {
		names, err := dir.Readdirnames(namesAtOnce)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("list snapshots: %w", err)
		}
		for _, name := range names {
			id, err := artifacts.ParseID(name)
			if err != nil {
				continue
			}
			dir := s.snapshotDir(id)
			if err := loadManifest(dir, &data); err != nil || !bytes.Contains(data.Bytes(), []byte(text)) {
				continue
			}
			m, err := decodeManifest(dir, data.Bytes())
			if snap, err := s.got(id, dir, m, err); err == nil {
				do(snap)
			}
		}
	}
}

// ids returns the names in one of the store's directories that are ids, sorted.
func (s *Store) ids(name string) ([]artifacts.ID, error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, name))
	if err != nil {
		return nil, err
	}
	var ids []artifacts.ID
	for _, e := range entries {
		if id, err := artifacts.ParseID(e.Name()); err == nil && e.IsDir() {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// Remove deletes a published snapshot: first it stops being one, by a rename,
// then its bytes go. The error is ErrNotFound where there is none.
func (s *Store) Remove(id artifacts.ID) error {
	if _, err := artifacts.ParseID(string(id)); err != nil {
		return fmt.Errorf("remove snapshot: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	trash := filepath.Join(s.dir, draftsName, trashPrefix+string(id))
	if err := s.disk.removeAll(trash); err != nil {
		return fmt.Errorf("remove snapshot %s: %w", id, err)
	}
	err := s.disk.rename(s.snapshotDir(id), trash)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove snapshot %s: not in local store %s: %w", id, s.dir, errdefs.ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("remove snapshot %s: %w", id, err)
	}
	if err := s.disk.syncDir(filepath.Join(s.dir, snapshotsName)); err != nil {
		return fmt.Errorf("remove snapshot %s: %w", id, err)
	}
	if err := s.disk.removeAll(trash); err != nil {
		return fmt.Errorf("remove snapshot %s: %w", id, err)
	}
	return nil
}

// Discard deletes a tree in the store's directory, which the caller has a lock on: first it
// goes where Sweep finds it when its remover has died, by a rename, then its bytes go. The
// rename is not synced: a file system writes its journal in order, so that after a power cut
// what is still in its place is whole. A tree that is not there is no error.
func (s *Store) Discard(path string) error {
	trash := filepath.Join(s.dir, draftsName, trashPrefix+string(artifacts.NewID(time.Now())))
	err := s.disk.rename(path, trash)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, unix.EXDEV): // somebody has mounted another file system there
		trash = path
	case err != nil:
		return fmt.Errorf("remove %s: %w", path, err)
	}
	if err := s.disk.removeAll(trash); err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return nil
}

// trashPrefix begins the names of removed snapshots, and of discarded trees, whose bytes
// are on their way out. It is no character of an id.
const trashPrefix = "removed-"
