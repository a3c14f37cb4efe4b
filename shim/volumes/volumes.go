// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package volumes places the DurableDirs of sandboxes on the node:
//
//	STATE/volumes/<namespace>/<sandbox>/<volume>   in use
//	STATE/lost/<name>/<volume>                     set aside after a crash
//
// What is set aside after a crash is named after the snapshot that the sandbox
// was paused in, if it was, so that a new sandbox which starts from that
// snapshot finds its volumes again; else after the sandbox and the time.
package volumes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/ateom/ateom/artifacts"
)

// Dir returns the directory that holds the volumes of one sandbox.
func Dir(stateDir, namespace, sandbox string) string {
	return filepath.Join(stateDir, "volumes", namespace, sandbox)
}

// lostDir is where volumes wait for somebody to ask for them.
func lostDir(stateDir string) string { return filepath.Join(stateDir, "lost") }

// SetAside moves the volumes in dir out of the way, keeping every byte. An
// empty or missing dir is simply removed.
func SetAside(stateDir, dir string, paused artifacts.ID) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("set volumes aside: %w", err)
	}
	if len(entries) == 0 {
		return os.Remove(dir)
	}
	name := string(paused)
	if name == "" {
		name = fmt.Sprintf("%s-%s-%d", filepath.Base(filepath.Dir(dir)), filepath.Base(dir), time.Now().UnixMilli())
	}
	if err := os.MkdirAll(lostDir(stateDir), 0o700); err != nil {
		return fmt.Errorf("set volumes aside: %w", err)
	}
	if err := os.Rename(dir, filepath.Join(lostDir(stateDir), name)); err != nil {
		return fmt.Errorf("set volumes aside: %w", err)
	}
	return nil
}

// TakeBack moves the volumes that were set aside with a paused snapshot to
// dir, which must not exist. It reports whether there were any.
func TakeBack(stateDir, dir string, paused artifacts.ID) (bool, error) {
	if paused == "" {
		return false, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return false, fmt.Errorf("take volumes back: %w", err)
	}
	err := os.Rename(filepath.Join(lostDir(stateDir), string(paused)), dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("take volumes back: %w", err)
	}
	return true, nil
}
