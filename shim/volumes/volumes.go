// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package volumes places the DurableDirs of sandboxes on the node:
//
//	STATE/volumes/<namespace>/<sandbox>/<volume>   in use
//	STATE/volumes/<namespace>/<sandbox>/.paused    the snapshot that they belong to
//	STATE/lost/<name>/<volume>                     set aside after a crash
//
// While a sandbox is paused its volumes belong to the snapshot that holds its
// memory; as soon as it runs they go on without it. The file .paused says so, beside
// the volumes, because nothing else that knows it survives a reboot.
//
// What is set aside after a crash is named after the snapshot that the sandbox
// was paused in, if it was, so that a new sandbox which starts from that
// snapshot finds its volumes again; else after the sandbox and the time.
//
// Whoever has a directory of volumes holds it; see Hold. The package must never move, or
// remove, what somebody else holds.
package volumes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/shim/replace"
)

// Dir returns the directory that holds the volumes of one sandbox.
func Dir(stateDir, namespace, sandbox string) string {
	return filepath.Join(stateDir, "volumes", namespace, sandbox)
}

// lostDir is where volumes wait for somebody to ask for them.
func lostDir(stateDir string) string { return filepath.Join(stateDir, "lost") }

// pausedName is no name that a volume can have.
const pausedName = ".paused"

// NotePaused says that the volumes in dir belong to a snapshot from now on. It
// is as durable as they are: syncing them syncs it too. Without a dir there are no volumes.
func NotePaused(dir string, snapshot artifacts.ID) error {
	err := replace.File(filepath.Join(dir, pausedName), []byte(snapshot), 0o600)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("note what the volumes belong to: %w", err)
	}
	return nil
}

// NoteRunning says that the volumes in dir go on without a snapshot: what was
// restored from it runs, and so does what was to be saved in it. It is not synced: a
// file system writes its journal in order, so that nothing that a program syncs
// afterwards survives a power cut without it.
func NoteRunning(dir string) error {
	if err := os.Remove(filepath.Join(dir, pausedName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("note that the volumes are in use: %w", err)
	}
	return nil
}

// owner returns the snapshot that the volumes in dir belong to, if they do.
func owner(dir string) (artifacts.ID, error) {
	text, err := os.ReadFile(filepath.Join(dir, pausedName))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	// A name from a file becomes one of a directory: it must be an id.
	id, err := artifacts.ParseID(string(text))
	if err != nil {
		return "", nil // not written to its end: the pause did not get as far
	}
	return id, nil
}

// SetAside moves the volumes in dir out of the way, keeping every byte. An
// empty or missing dir is simply removed. The error is ErrInUse where a shim that lives
// has them.
func SetAside(stateDir, dir string) error {
	err := setAside(stateDir, dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // somebody else was faster
		return fmt.Errorf("set volumes aside: %w", err)
	}
	return nil
}

func setAside(stateDir, dir string) error {
	hold, err := await(dir)
	if err != nil {
		return err
	}
	defer hold.Leave()
	paused, err := owner(dir)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.IsDir() }) {
		return os.RemoveAll(dir) // no volume
	}
	name := string(paused)
	if name == "" {
		name = fmt.Sprintf("%s-%s-%d", filepath.Base(filepath.Dir(dir)), filepath.Base(dir), time.Now().UnixMilli())
	}
	if err := os.MkdirAll(lostDir(stateDir), 0o700); err != nil {
		return err
	}
	return os.Rename(dir, filepath.Join(lostDir(stateDir), name))
}

// TakeBack moves the volumes that were set aside with a paused snapshot to
// dir, which must not exist, and holds them; it returns nil where there are none. They
// belong to the snapshot until NoteRunning: a start that fails, or whose shim dies, sets
// them aside for the next one.
func TakeBack(stateDir, dir string, paused artifacts.ID) (*Hold, error) {
	if paused == "" {
		return nil, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return nil, fmt.Errorf("take volumes back: %w", err)
	}
	lost := filepath.Join(lostDir(stateDir), string(paused))
	hold, err := await(lost)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("take volumes back: %w", err)
	}
	if err := os.Rename(lost, dir); err != nil {
		return nil, errors.Join(fmt.Errorf("take volumes back: %w", err), hold.Leave())
	}
	return hold, nil
}
