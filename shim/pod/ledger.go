// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/shim/replace"
)

// A Ledger remembers what has happened to one pod on this node. Kubelet makes
// a pod's sandbox anew when it was lost, in a crash or a reboot, with the
// annotations of the first time: the ledger tells the new one what is done.
type Ledger struct {
	path string

	// Begun says that the pod has started from the snapshot that it was told to:
	// it does so once, and begins from its images after that, as any pod does. From
	// a snapshot of volumes it has when all that it declares are Filled.
	Begun bool `json:"begun,omitempty"`
	// Filling are the volumes that hold nothing but what is on its way from the
	// snapshot: no container has had them yet.
	Filling []string `json:"filling,omitempty"`
	// Filled are the volumes that hold what the snapshot had, and perhaps more
	// by now.
	Filled []string `json:"filled,omitempty"`
	// Paused is the local snapshot in which the pod sleeps. It has a file of its
	// own, since a Resume has little time: that one is simply removed.
	Paused artifacts.ID `json:"-"`
}

// pausedSuffix is added to the ledger's name. It is no part of a UID.
const pausedSuffix = ".paused"

// OpenLedger reads the ledger of a pod, which is empty for a new one.
func OpenLedger(stateDir, uid string) (*Ledger, error) {
	dir := ledgers(stateDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the pod's ledger: %w", err)
	}
	l := &Ledger{path: filepath.Join(dir, uid)}
	if id, err := os.ReadFile(l.path + pausedSuffix); err == nil {
		l.Paused = artifacts.ID(id)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open the pod's ledger: %w", err)
	}
	b, err := os.ReadFile(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open the pod's ledger: %w", err)
	}
	if err := json.Unmarshal(b, l); err != nil {
		return nil, fmt.Errorf("read the pod's ledger %s: %w", l.path, err)
	}
	return l, nil
}

// ledgers is where they lie.
func ledgers(stateDir string) string { return filepath.Join(stateDir, "pods") }

// IsFilled says whether the volume has had its content from the snapshot.
func (l *Ledger) IsFilled(volume string) bool { return slices.Contains(l.Filled, volume) }

// IsFilling says whether a fill of the volume was begun that nobody has seen the end of.
func (l *Ledger) IsFilling(volume string) bool { return slices.Contains(l.Filling, volume) }

// Write makes the ledger what the next sandbox of the pod finds. It survives a
// power cut whole, as it was or as it is.
func (l *Ledger) Write() error {
	b, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("encode the pod's ledger: %w", err)
	}
	return l.replace("", b)
}

// SetPaused remembers in which snapshot the pod sleeps; with "" it is awake.
// Either survives a power cut: the pod's volumes may lie on another file system,
// whose journal knows nothing of this one's. After an error either may be so.
func (l *Ledger) SetPaused(id artifacts.ID) error {
	if id != "" {
		if err := l.replace(pausedSuffix, []byte(id)); err != nil {
			return err
		}
	} else if err := replace.Remove(l.path + pausedSuffix); err != nil {
		return fmt.Errorf("write the pod's ledger: %w", err)
	}
	l.Paused = id
	return nil
}

// replace writes one of the ledger's files whole or not at all, and durably.
func (l *Ledger) replace(suffix string, b []byte) error {
	if err := replace.Durably(l.path+suffix, b, 0o600); err != nil {
		return fmt.Errorf("write the pod's ledger: %w", err)
	}
	return nil
}
