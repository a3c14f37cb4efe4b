// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package roster is the list of a node's sandboxes, readable without waking
// anybody: each shim keeps one small file in its sandbox's volatile directory,
// RUN-DIR/sandboxes/NAMESPACE/ID/state.json, and a lock on that directory
// for as long as it lives. Reading it must never need an answer from a shim.
package roster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/shim/dirlock"
	"github.com/ateom/ateom/shim/replace"
	"github.com/ateom/ateom/shim/rundir"
)

// fileName is the entry's name in the directory, and version what this package writes.
const (
	fileName = "state.json"
	version  = 1
)

// An Entry is what a shim has noted of its sandbox.
type Entry struct {
	Version   int    `json:"version"`
	Namespace string `json:"namespace"`
	Sandbox   string `json:"sandbox"`
	// State is the settled state that the sandbox is in, or was in when the verb
	// under way began: created, running, paused, stopped.
	State string `json:"state"`
	// Since is when it came to be in that state.
	Since time.Time `json:"since"`
	// PID is the shim's, in the PID namespace of the shim.
	PID int `json:"pid"`
	// Snapshot is what a paused sandbox would be resumed from.
	Snapshot artifacts.ID `json:"snapshot,omitempty"`
	// Alive says that the shim runs. List sets it; it is not in the file.
	Alive bool `json:"-"`
}

// A Place is one sandbox's on the list. Its methods may not be called at the
// same time.
type Place struct {
	dir  string
	lock *os.File
}

// Take makes dir if need be and locks it. The lock ends with the process, so
// that a shim that died is told from one that sleeps.
func Take(dir string) (*Place, error) {
	for {
		// Whoever lists or sweeps holds the lock for some microseconds.
		p, err := takePlace(dir, unix.LOCK_EX)
		if err != nil || p != nil {
			return p, err
		}
	}
}

// TakeDead is Take for whoever cleans up after a shim: it does not wait, and
// returns nil where a shim is alive. No shim of that name starts while the place is held.
func TakeDead(dir string) (*Place, error) {
	p, err := takePlace(dir, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, nil
	}
	return p, err
}

// takePlace locks dir. It returns nothing if the directory was removed meanwhile.
func takePlace(dir string, how int) (*Place, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("take place on the roster: %w", err)
	}
	f, err := dirlock.Lock(dir, how)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("take place on the roster: %w", err)
	}
	return &Place{dir: dir, lock: f}, nil
}

// Put replaces the entry, whole or not at all.
func (p *Place) Put(e Entry) error {
	e.Version = version
	b, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode roster entry: %w", err)
	}
	if err := replace.File(filepath.Join(p.dir, fileName), b, 0o600); err != nil {
		return fmt.Errorf("write roster entry: %w", err)
	}
	return nil
}

// Leave gives the lock up; the file goes with its directory.
func (p *Place) Leave() error { return p.lock.Close() }

// List returns the entries of a node's sandboxes. One that cannot be read is
// left out and told in the error; the others are returned all the same.
func List(runDir string) ([]Entry, error) {
	dirs, err := filepath.Glob(rundir.Sandbox(runDir, "*", "*"))
	if err != nil {
		return nil, fmt.Errorf("list sandboxes: %w", err)
	}
	var entries []Entry
	var errs []error
	for _, dir := range dirs {
		e, err := read(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist): // not noted yet, or gone meanwhile
		case err != nil:
			errs = append(errs, err)
		default:
			entries = append(entries, *e)
		}
	}
	return entries, errors.Join(errs...)
}

func read(dir string) (*Entry, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("read roster entry: %w", err)
	}
	defer f.Close()
	e, err := readEntry(dir)
	if err != nil {
		return nil, err
	}
	err = dirlock.Flock(f, unix.LOCK_SH|unix.LOCK_NB)
	e.Alive = errors.Is(err, unix.EWOULDBLOCK)
	if err != nil && !e.Alive {
		return nil, fmt.Errorf("read roster entry of %s: look for its shim: %w", dir, err)
	}
	return e, nil
}

func readEntry(dir string) (*Entry, error) {
	b, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		return nil, fmt.Errorf("read roster entry: %w", err)
	}
	var e Entry
	if err := json.Unmarshal(b, &e); err != nil {
		return nil, fmt.Errorf("read roster entry of %s: %w", dir, err)
	}
	if e.Version < 1 || e.Version > version {
		return nil, fmt.Errorf("read roster entry of %s: version %d is not one that this binary knows (1 to %d)", dir, e.Version, version)
	}
	return &e, nil
}
