// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ateom/ateom/artifacts"
	"github.com/containerd/errdefs"
)

// damagedName is the directory of snapshots that were set aside.
const damagedName = "damaged"

// IDs returns the ids of all published snapshots, damaged ones included, in order.
func (s *Store) IDs() ([]artifacts.ID, error) { return s.ids(snapshotsName) }

// SnapshotDir returns the directory that the snapshot has if it is published.
func (s *Store) SnapshotDir(id artifacts.ID) string { return s.snapshotDir(id) }

// Has reports whether there is a published snapshot, damaged or not.
func (s *Store) Has(id artifacts.ID) bool {
	_, err := os.Lstat(s.snapshotDir(id))
	return err == nil
}

// SetAside takes a damaged snapshot out of the store without deleting it, and
// returns where it is now. The error is ErrNotFound where there is none.
func (s *Store) SetAside(id artifacts.ID) (string, error) {
	if _, err := artifacts.ParseID(string(id)); err != nil {
		return "", fmt.Errorf("set snapshot aside: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	dir := filepath.Join(s.dir, damagedName)
	if err := s.disk.mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("set snapshot %s aside: %w", id, err)
	}
	to := filepath.Join(dir, string(id))
	err := s.disk.rename(s.snapshotDir(id), to)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("set snapshot %s aside: not in local store %s: %w", id, s.dir, errdefs.ErrNotFound)
	}
	if err != nil {
		return "", fmt.Errorf("set snapshot %s aside: %w", id, err)
	}
	for _, path := range []string{s.dir, dir, filepath.Join(s.dir, snapshotsName)} {
		if err := s.disk.syncDir(path); err != nil {
			return "", fmt.Errorf("set snapshot %s aside: %w", id, err)
		}
	}
	return to, nil
}
