// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	securejoin "github.com/cyphar/filepath-securejoin"
)

// A journal notes each change of a file system before it is made, so that all
// of them can be undone, now or by a later process.
type journal struct {
	root string // of the node's file system
	path string // of the journal, below root
	// Entries are in the order in which they were first made.
	Entries []*entry `json:"entries"`
	// Pending says that containerd has not been restarted since its configuration
	// was changed, perhaps because an installer died.
	Pending bool `json:"pending,omitempty"`
}

// An entry is one file or directory.
type entry struct {
	Path string `json:"path"`
	// Dir says that it is a directory that was not there.
	Dir bool `json:"dir,omitempty"`
	// Before is what the file was, nil if there was none; Mode its permissions.
	Before []byte      `json:"before"`
	Mode   fs.FileMode `json:"mode,omitempty"`
	// After is the SHA-256 of what was written.
	After string `json:"after,omitempty"`
}

func openJournal(root, path string) (*journal, error) {
	j := &journal{root: root, path: path}
	b, err := os.ReadFile(j.at(path))
	if errors.Is(err, fs.ErrNotExist) {
		return j, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	if err := json.Unmarshal(b, j); err != nil {
		return nil, fmt.Errorf("read journal %s: %w", j.at(path), err)
	}
	return j, nil
}

func (j *journal) at(path string) string { return onNode(j.root, path) }

// onNode is where a path of the node is for this process. What it links to lies
// on the node too, so that a link stays one.
func onNode(root, path string) string {
	at, err := securejoin.SecureJoin(root, path)
	if err != nil {
		return filepath.Join(root, path) // and whoever opens that gets the error
	}
	return at
}

func (j *journal) save() error {
	b, err := json.Marshal(j)
	if err != nil {
		return err
	}
	return replace(j.at(j.path), b, 0o600)
}

// mkdir makes a directory and its parents.
func (j *journal) mkdir(path string) error {
	if _, err := os.Stat(j.at(path)); err == nil {
		return nil
	}
	if err := j.mkdir(filepath.Dir(path)); err != nil {
		return err
	}
	j.Entries = append(j.Entries, &entry{Path: path, Dir: true})
	if !j.isIn(path) {
		if err := j.save(); err != nil {
			return err
		}
	}
	if err := os.Mkdir(j.at(path), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make directory: %w", err)
	}
	if filepath.Dir(j.path) == path {
		return j.save()
	}
	return nil
}

// isIn reports whether the journal itself lies in or below a directory.
func (j *journal) isIn(dir string) bool { return strings.HasPrefix(j.path, dir+"/") }

// settle makes the journal's own directory. An empty one is what an installer
// left that died before it could write anything down.
func (j *journal) settle() error {
	dir := filepath.Dir(j.path)
	if len(j.Entries) == 0 {
		_ = os.Remove(j.at(dir)) // others' files keep it
	}
	return j.mkdir(dir)
}

// write makes a file what content says, and reports whether it was anything else.
func (j *journal) write(path string, content []byte, mode fs.FileMode) (changed bool, err error) {
	before, err := os.ReadFile(j.at(path))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		before = nil
	case err != nil:
		return false, fmt.Errorf("read what is there: %w", err)
	case bytes.Equal(before, content):
		if j.file(path) != nil { // ours; an earlier release may have had another mode for it
			err = os.Chmod(j.at(path), mode)
		}
		return false, err
	}
	if err := j.mkdir(filepath.Dir(path)); err != nil {
		return false, err
	}
	e := j.file(path)
	if e == nil {
		e = &entry{Path: path, Before: before}
		if fi, err := os.Stat(j.at(path)); err == nil {
			e.Mode = fi.Mode().Perm()
			if before == nil {
				e.Before = []byte{}
			}
		}
		j.Entries = append(j.Entries, e)
	}
	e.After = digest(content)
	if err := j.save(); err != nil {
		return false, err
	}
	return true, replace(j.at(path), content, mode)
}

// file returns the entry of a file, nil if there is none.
func (j *journal) file(path string) *entry {
	i := slices.IndexFunc(j.Entries, func(e *entry) bool { return e.Path == path && !e.Dir })
	if i < 0 {
		return nil
	}
	return j.Entries[i]
}

// modeBefore is the mode that a file had before it was written, or has; one that
// is not there is to be for root alone.
func (j *journal) modeBefore(path string) fs.FileMode {
	if e := j.file(path); e != nil && e.Before != nil {
		return e.Mode
	}
	if fi, err := os.Stat(j.at(path)); err == nil {
		return fi.Mode().Perm()
	}
	return 0o600
}

// undo makes every file what it was, but for those that are no longer what was
// written, which it returns. If something could not be undone, undo can be called
// again, as after an installer that died meanwhile. The journal stays, for
// Pending, until it is removed.
func (j *journal) undo() (kept []string, err error) {
	var errs []error
	for _, e := range slices.Backward(j.Entries) {
		if e.Dir {
			if !j.isIn(e.Path) {
				_ = os.Remove(j.at(e.Path)) // others' files keep it
			}
			continue
		}
		now, err := os.ReadFile(j.at(e.Path))
		switch {
		case errors.Is(err, fs.ErrNotExist) && e.Before == nil:
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			errs = append(errs, err)
		case digest(now) != e.After && !bytes.Equal(now, e.Before):
			kept = append(kept, e.Path)
		case e.Before == nil:
			errs = append(errs, os.Remove(j.at(e.Path)))
		default:
			errs = append(errs, replace(j.at(e.Path), e.Before, e.Mode))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return kept, err
	}
	if len(j.Entries) == 0 {
		return kept, nil // nothing was ever written down
	}
	j.Entries = slices.DeleteFunc(j.Entries, func(e *entry) bool { return !e.Dir || !j.isIn(e.Path) })
	return kept, j.save()
}

// hasFiles says whether there is anything to be undone.
func (j *journal) hasFiles() bool {
	return slices.ContainsFunc(j.Entries, func(e *entry) bool { return !e.Dir })
}

// remove removes a journal that has been undone, with directories that nobody
// else uses.
func (j *journal) remove() error {
	if err := os.Remove(j.at(j.path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range slices.Backward(j.Entries) {
		if e.Dir && j.isIn(e.Path) {
			_ = os.Remove(j.at(e.Path)) // others' files keep it
		}
	}
	return nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// replace writes a file in one step, durably. A program that runs is replaced,
// not written into.
func replace(path string, content []byte, mode fs.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".ateom-")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	_, err = f.Write(content)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
