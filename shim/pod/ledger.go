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
	"strings"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/shim/replace"
)

// A Ledger remembers what has happened to one pod on this node. Kubelet makes
// a pod's sandbox anew when it was lost, in a crash or a reboot, with the
// annotations of the first time: the ledger tells the new one what is done.
type Ledger struct {
	path string

	// Begun says that the pod has started from the snapshot that it was told to:
	// it does so once, and begins from its images after that, as any pod does.
	Begun bool `json:"begun,omitempty"`
	// Filled are the volumes that hold what the snapshot had, and perhaps more
	// by now.
	Filled []string `json:"filled,omitempty"`
	// Paused is the local snapshot in which the pod sleeps. It has a file of its
	// own, since a Resume has no time to sync: that one is simply removed.
	Paused artifacts.ID `json:"-"`
}

// pausedSuffix is added to the ledger's name. It is no part of a UID.
const pausedSuffix = ".paused"

// OpenLedger reads the ledger of a pod, which is empty for a new one. Those of
// pods that kubelet has no directory for any more are removed.
func OpenLedger(stateDir, kubeletDir, uid string) (*Ledger, error) {
	dir := filepath.Join(stateDir, "pods")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the pod's ledger: %w", err)
	}
	l := &Ledger{path: filepath.Join(dir, uid)}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open the pod's ledger: %w", err)
	}
	for _, e := range entries {
		owner := strings.TrimSuffix(e.Name(), pausedSuffix)
		if _, err := os.Stat(filepath.Join(kubeletDir, "pods", owner)); errors.Is(err, fs.ErrNotExist) && owner != uid {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
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

// IsFilled says whether the volume has had its content from the snapshot.
func (l *Ledger) IsFilled(volume string) bool { return slices.Contains(l.Filled, volume) }

// Write makes the ledger what the next sandbox of the pod finds. It survives a
// power cut whole, as it was or as it is.
func (l *Ledger) Write() error {
	b, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("encode the pod's ledger: %w", err)
	}
	return l.replace("", b)
}

// SetPaused remembers in which snapshot the pod sleeps, and survives a power
// cut; with "" it is awake, which costs no sync: the file system's journal has it
// before anything that the pod syncs from then on.
func (l *Ledger) SetPaused(id artifacts.ID) error {
	l.Paused = id
	if id != "" {
		return l.replace(pausedSuffix, []byte(id))
	}
	if err := os.Remove(l.path + pausedSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write the pod's ledger: %w", err)
	}
	return nil
}

// replace writes one of the ledger's files whole or not at all, and durably.
func (l *Ledger) replace(suffix string, b []byte) error {
	if err := replace.Durably(l.path+suffix, b, 0o600); err != nil {
		return fmt.Errorf("write the pod's ledger: %w", err)
	}
	return nil
}
