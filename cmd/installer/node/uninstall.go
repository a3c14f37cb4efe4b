// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
)

// Uninstall makes the node what it was before the first Install. Files that
// somebody has changed since stay, and are named in the error; of containerd's
// main configuration our import goes, and their changes stay.
func Uninstall(ctx context.Context, o Options) error {
	undone := map[string]bool{}
	j, err := o.installed(undone)
	if err != nil {
		return err
	}
	if j == nil {
		o.logf("nothing is installed in %s, and %s names no other place; if it was installed with another --dir, --containerd-config or --drop-in, uninstall with the same",
			o.Dir, o.dropInPath())
		return nil
	}
	// That a restart is owed is written down where the next uninstall looks, wherever
	// the installations lie, and stays there until containerd serves again.
	own, err := o.journal(o.Dir)
	if err != nil {
		return err
	}
	own.Pending = true
	if err := own.settle(); err != nil {
		return err
	}
	if err := own.save(); err != nil {
		return err
	}
	var kept []string
	for j != nil && err == nil {
		if j.path == own.path {
			j = own
		}
		if err := o.rebase(j); err != nil {
			return fmt.Errorf("uninstall: %w", err)
		}
		var others []string
		others, err = j.undo()
		kept = append(kept, others...)
		undone[j.path] = true
		if err == nil && j != own {
			err = j.remove()
		}
		if err == nil {
			j, err = o.installed(undone)
		}
	}
	err = errors.Join(err, o.restart(ctx))
	if err == nil {
		err = own.remove()
	}
	if len(kept) > 0 {
		err = errors.Join(err, fmt.Errorf("uninstall: these were changed by somebody else and are still there: %q", kept))
	}
	return err
}

// installed returns the journal of what is to be undone next, nil if there is
// none: first of the installation that containerd uses, wherever that lies; it
// may have been made over another one.
func (o *Options) installed(undone map[string]bool) (*journal, error) {
	for _, dir := range []string{dirOf(o.Root, o.dropInPath()), o.Dir} {
		if dir == "" {
			continue
		}
		j, err := o.journal(dir)
		if err != nil {
			return nil, err
		}
		if len(j.Entries) > 0 && !undone[j.path] {
			if dir != o.Dir {
				o.logf("the installation is in %s", dir)
			}
			return j, nil
		}
	}
	return nil, nil
}
