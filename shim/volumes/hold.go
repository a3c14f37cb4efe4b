// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package volumes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/shim/dirlock"
)

// ErrInUse says that a shim that lives has the volumes.
var ErrInUse = errors.New("a sandbox that lives has these volumes; where two configurations share a state-dir, their sandboxes need different names")

// A Hold on a directory of volumes keeps everybody else from moving it, until it is left
// or its process ends: what a shim starts does not inherit it. It is on the directory itself,
// and so goes where that goes; the lock on a sandbox's volatile files says nothing to whoever
// has another run directory.
type Hold struct{ lock *os.File }

// Leave gives the volumes up.
func (h *Hold) Leave() error { return h.lock.Close() }

const (
	// patience is how long to wait for whoever has the volumes for a moment only: a sweep that
	// looks at them, or a process that is ending.
	patience = time.Second
	// look is between two looks at volumes that somebody has.
	look = 10 * time.Millisecond
)

// Make makes the directory of a sandbox's volumes, if need be, and holds it. The error is
// ErrInUse where another sandbox has it.
func Make(dir string) (*Hold, error) {
	for deadline := time.Now().Add(patience); ; time.Sleep(look) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make volumes: %w", err)
		}
		// A sweep may have removed what was empty.
		h, err := lock(dir)
		switch {
		case err == nil:
			return h, nil
		case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrInUse), time.Now().After(deadline):
			return nil, fmt.Errorf("make volumes: %w", err)
		}
	}
}

// InUse reports whether a shim that lives has the volumes in dir.
func InUse(dir string) bool {
	h, err := lock(dir)
	if err == nil {
		h.Leave()
	}
	return errors.Is(err, ErrInUse)
}

// await is lock for who is sure that dir is nobody's, or will be in a moment.
func await(dir string) (*Hold, error) {
	for deadline := time.Now().Add(patience); ; time.Sleep(look) {
		h, err := lock(dir)
		if !errors.Is(err, ErrInUse) || time.Now().After(deadline) {
			return h, err
		}
	}
}

// lock holds dir, or fails with ErrInUse, or with fs.ErrNotExist.
func lock(dir string) (*Hold, error) {
	f, err := dirlock.Lock(dir, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("%s: %w", dir, ErrInUse)
	}
	if err != nil {
		return nil, err
	}
	return &Hold{lock: f}, nil
}
