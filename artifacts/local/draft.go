// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ateom/ateom/artifacts"
	"github.com/containerd/errdefs"
)

// A Draft is a snapshot on its way: a directory that no reader sees. It ends
// in Publish or Abort; a crash leaves it to Sweep.
type Draft struct {
	store *Store
	id    artifacts.ID
	lock  *os.File // says to Sweep that somebody works on it
}

// NewDraft makes the directory of a draft, with image, recipes and durable in
// it. The error is ErrAlreadyExists where a draft or a snapshot has that id.
func (s *Store) NewDraft(id artifacts.ID) (*Draft, error) {
	if _, err := artifacts.ParseID(string(id)); err != nil {
		return nil, fmt.Errorf("make draft: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	if _, err := os.Lstat(s.snapshotDir(id)); err == nil {
		return nil, fmt.Errorf("make draft of snapshot %s: it is published already: %w", id, errdefs.ErrAlreadyExists)
	}
	// Under its own name it would be Sweep's before it is locked.
	temp := filepath.Join(s.dir, draftsName, makingPrefix+rand.Text())
	f, err := s.makeDraft(temp)
	if err != nil {
		return nil, fmt.Errorf("make draft of snapshot %s: %w", id, err)
	}
	err = s.disk.rename(temp, s.draftDir(id))
	if err == nil {
		return &Draft{store: s, id: id, lock: f}, nil
	}
	f.Close()
	if errors.Is(err, fs.ErrExist) {
		err = fmt.Errorf("there is one: %w", errdefs.ErrAlreadyExists)
	}
	return nil, errors.Join(fmt.Errorf("make draft of snapshot %s: %w", id, err), s.disk.removeAll(temp))
}

// makeDraft makes the directories of a draft and locks the outer one.
func (s *Store) makeDraft(dir string) (*os.File, error) {
	if err := s.disk.mkdir(dir); err != nil {
		return nil, err
	}
	f, err := lock(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{imageName, recipesName, durableName} {
		if err := s.disk.mkdir(filepath.Join(dir, name)); err != nil {
			f.Close()
			return nil, err
		}
	}
	return f, nil
}

// Dir returns the draft's directory, absolute.
func (d *Draft) Dir() string { return d.store.draftDir(d.id) }

// ID returns the id that the snapshot will have.
func (d *Draft) ID() artifacts.ID { return d.id }

// Publish makes the draft a snapshot with manifest m. When it returns without
// error the snapshot survives a power cut; until then there is none. It costs
// one fsync a file (the manifest included) and a directory of the draft, and
// two for the rename: ten for a checkpoint without recipes. After an error the
// draft is still there, and Publish may be tried again.
func (d *Draft) Publish(m *artifacts.Manifest) (*Snapshot, error) {
	if m.ID != d.id {
		return nil, fmt.Errorf("publish snapshot %s: the manifest is that of %q: %w", d.id, m.ID, errdefs.ErrInvalidArgument)
	}
	data, err := artifacts.EncodeManifest(m)
	if err != nil {
		return nil, fmt.Errorf("publish snapshot %s: %w", d.id, err)
	}
	if err := d.publish(data); err != nil {
		return nil, fmt.Errorf("publish snapshot %s: %w", d.id, err)
	}
	d.lock.Close()
	return &Snapshot{Manifest: m, Dir: d.store.snapshotDir(d.id)}, nil
}

func (d *Draft) publish(manifest []byte) error {
	disk, dir, final := d.store.disk, d.Dir(), d.store.snapshotDir(d.id)
	if _, err := os.Lstat(final); err == nil {
		return fmt.Errorf("there is one already: %w", errdefs.ErrAlreadyExists)
	}
	// The draft's own rename is what makes it visible, once all of it is durable.
	if err := disk.writeFile(ManifestPath(dir), manifest); err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	if err := syncTree(disk, dir); err != nil {
		return err
	}
	if err := disk.rename(dir, final); err != nil {
		return err
	}
	for _, name := range []string{snapshotsName, draftsName} {
		if err := disk.syncDir(filepath.Join(d.store.dir, name)); err != nil {
			// What may vanish in a power cut must not be seen.
			return errors.Join(err, disk.rename(final, dir))
		}
	}
	return nil
}

// Abort deletes the draft. Aborting what is published or gone is no error.
func (d *Draft) Abort() error {
	defer d.lock.Close()
	if err := d.store.disk.removeAll(d.Dir()); err != nil {
		return fmt.Errorf("abort draft of snapshot %s: %w", d.id, err)
	}
	return nil
}

// SyncTree makes every file and directory below dir durable, dir included, and
// closes them to everybody but their owner. It refuses what is neither.
func SyncTree(dir string) error { return syncTree(osDisk{}, dir) }

func syncTree(disk disk, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case e.IsDir():
			err = syncTree(disk, path)
		case e.Type().IsRegular():
			err = closeAndSync(disk, path, e)
		default:
			err = fmt.Errorf("%s is neither file nor directory: %w", path, errdefs.ErrFailedPrecondition)
		}
		if err != nil {
			return fmt.Errorf("sync: %w", err)
		}
	}
	if err := disk.syncDir(dir); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	return nil
}

func closeAndSync(disk disk, path string, e fs.DirEntry) error {
	info, err := e.Info()
	if err != nil {
		return err
	}
	if info.Mode().Perm() != fileMode {
		if err := disk.chmod(path, fileMode); err != nil {
			return err
		}
	}
	return disk.syncFile(path)
}
