// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/shim/replace"
)

// ForgetOthers removes the ledgers of pods that kubelet has no directory for any
// more, and has discard remove the snapshot first that such a pod slept in: its
// node was down when it was deleted, and nobody else knows of it. Kubelet makes a
// pod's directory before it asks for a sandbox, so that one which has none for
// the pod uid is not this node's, and says nothing about others.
func ForgetOthers(stateDir, kubeletDir, uid string, discard func(artifacts.ID) error) error {
	there := func(uid string) (bool, error) {
		_, err := os.Stat(filepath.Join(kubeletDir, "pods", uid))
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return err == nil, err
	}
	if ok, err := there(uid); !ok {
		return err
	}
	dir := ledgers(stateDir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("look for the ledgers of pods that are gone: %w", err)
	}
	var errs []error
	for _, e := range entries {
		// A file on its way is that of a pod which is there, or a crash has left it.
		owner, isPaused := strings.CutSuffix(strings.TrimSuffix(e.Name(), replace.Suffix), pausedSuffix)
		if ok, err := there(owner); ok || err != nil {
			errs = append(errs, err)
			continue
		}
		path := filepath.Join(dir, e.Name())
		if isPaused {
			err = discardPaused(path, discard)
		}
		if err == nil {
			err = os.Remove(path)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("forget pod %s, which is gone: %w", owner, err))
		}
	}
	return errors.Join(errs...)
}

// discardPaused discards the snapshot that a note names, if it names any.
func discardPaused(note string, discard func(artifacts.ID) error) error {
	text, err := os.ReadFile(note)
	if err != nil {
		return err
	}
	id, err := artifacts.ParseID(string(text))
	if err != nil {
		return nil
	}
	return discard(id)
}
