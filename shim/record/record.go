// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package record is the note that the shim leaves in a container's bundle: all
// that another process needs to clean up after a shim that died. It is written
// before anything is touched, lives as long as the bundle, and is volatile:
// losing it loses no snapshot.
package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/shim/network"
	"github.com/ateom/ateom/shim/replace"
)

// fileName is the record's name in the bundle, and version what this package writes.
const (
	fileName = "ateom.json"
	version  = 1
)

// A Record describes one container of a sandbox.
type Record struct {
	Version int `json:"version"`
	// Sandbox is the id of the sandbox's root container.
	Sandbox string `json:"sandbox"`
	// Runsc, Root and Flags are how to call runsc.
	Runsc string   `json:"runsc"`
	Root  string   `json:"root"`
	Flags []string `json:"flags,omitempty"`
	// Rootfs is where the shim has mounted the container's root file system;
	// empty if it has not.
	Rootfs string `json:"rootfs"`
	// Socket is the address that the shim served.
	Socket string `json:"socket,omitempty"`
	// StateDir is the node's durable state directory.
	StateDir string `json:"stateDir"`
	// What follows is set in the record of the sandbox's first container alone: the root
	// one, or the next when that was deleted.

	// Volumes is the directory that holds the sandbox's DurableDirs.
	Volumes string `json:"volumes,omitempty"`
	// Scratch is the sandbox's directory of volatile files.
	Scratch string `json:"scratch,omitempty"`
	// Origin is what was fetched to start the sandbox from.
	Origin string `json:"origin,omitempty"`
	// Netns is the network namespace that the shim made.
	Netns string `json:"netns,omitempty"`
	// NetworkPath is a network namespace of somebody else's, and Network what it
	// had before gVisor took it.
	NetworkPath string         `json:"networkPath,omitempty"`
	Network     *network.State `json:"network,omitempty"`
	// Cgroup is the sandbox's own, as its spec calls it.
	Cgroup string `json:"cgroup,omitempty"`
	// Paused is the snapshot that the sandbox would be resumed from. Older shims
	// wrote it here; it is beside the volumes now, where a reboot leaves it.
	Paused artifacts.ID `json:"paused,omitempty"`
}

// Write puts the record into the bundle, whole or not at all.
func Write(bundle string, r *Record) error {
	r.Version = version
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode record: %w", err)
	}
	if err := replace.File(filepath.Join(bundle, fileName), b, 0o600); err != nil {
		return fmt.Errorf("write record: %w", err)
	}
	return nil
}

// Read returns the bundle's record, or nil if there is none.
func Read(bundle string) (*Record, error) {
	b, err := os.ReadFile(filepath.Join(bundle, fileName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read record: %w", err)
	}
	var r Record
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("read record of %s: %w", bundle, err)
	}
	if r.Version > version {
		return nil, fmt.Errorf("read record of %s: a newer release of ateom has written it (version %d, this one knows up to %d); nothing was touched: install that release's shim, which cleans up",
			bundle, r.Version, version)
	}
	if r.Version < 1 {
		return nil, fmt.Errorf("read record of %s: it has no version: %d", bundle, r.Version)
	}
	return &r, nil
}

// Remove removes the bundle's record, so that nobody cleans up by it. None is no error.
func Remove(bundle string) error {
	if err := os.Remove(filepath.Join(bundle, fileName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove record: %w", err)
	}
	return nil
}
