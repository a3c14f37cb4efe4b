// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/durabledir"
)

// A pod's volumes outlive its sandbox, and each is filled when the first
// container comes that has it. The shim or the node may die at any moment between:
// the pod's next sandbox must fill what is not filled, and never again what is. So
// each step is durable before the next:
//
//  1. the ledger says that the volume is being filled. It is empty;
//  2. the volume is filled, and synced;
//  3. the ledger says that it is filled and, with the last one, that the pod has
//     begun;
//  4. the container is made.
//
// Who finds 1 without 3 empties the volume and begins again: no container has had it.

// fillPodVolumes fills volumes of a pod that are not filled yet.
func (s *sandbox) fillPodVolumes(ctx context.Context, volumes []job.Volume) error {
	var kept, todo []job.Volume // todo has the sandbox's own too, which end with it
	for _, v := range volumes {
		switch {
		case filepath.Dir(v.Path) == s.volumesDir:
			todo = append(todo, v)
		case !s.ledger.IsFilled(v.Name):
			kept, todo = append(kept, v), append(todo, v)
		}
	}
	if len(todo) > 0 {
		if err := s.beginFill(kept); err != nil {
			return err
		}
		if err := s.fetchVolumes(ctx, todo); err != nil {
			return errors.Join(err, s.endFill(kept, false))
		}
		if err := syncVolumes(kept); err != nil {
			return err
		}
	}
	return s.endFill(kept, true)
}

// beginFill notes that volumes are being filled. What a fill has left in them of
// which nobody saw the end is marked, so that the next one empties them.
func (s *sandbox) beginFill(volumes []job.Volume) error {
	var fresh []string
	for _, v := range volumes {
		switch {
		case s.ledger.IsFilling(v.Name):
			if err := durabledir.Mark(v.Path, string(s.origin.volumes)); err != nil {
				return err
			}
		case isForFilling(v.Path): // what else is in it is somebody's, and will be refused
			fresh = append(fresh, v.Name)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	before := s.ledger.Filling
	s.ledger.Filling = slices.Concat(before, fresh)
	err := s.ledger.Write()
	if err != nil {
		s.ledger.Filling = before
	}
	return err
}

// endFill notes that volumes are filled, or, if the fill has failed, which of them
// anybody may write to again.
func (s *sandbox) endFill(volumes []job.Volume, filled bool) error {
	for _, v := range volumes {
		if filled {
			s.ledger.Filled = append(s.ledger.Filled, v.Name)
		} else if !isForFilling(v.Path) {
			continue
		}
		s.ledger.Filling = slices.DeleteFunc(s.ledger.Filling, func(name string) bool { return name == v.Name })
	}
	if filled && s.origin.manifest.Scope == artifacts.Data && len(s.unfilled()) == 0 {
		s.ledger.Begun = true
	}
	return s.ledger.Write()
}

// isForFilling says whether a volume is empty, or holds a part of what a fill has
// brought and says so itself.
func isForFilling(dir string) bool {
	entries, err := os.ReadDir(dir)
	return err == nil && (len(entries) == 0 || durabledir.Marked(dir))
}

// unfilled are the volumes of the snapshot of volumes that the pod starts from which
// it declares, and of which no container has come yet.
func (s *sandbox) unfilled() []string {
	root, err := s.container(s.id)
	o := s.origin
	if err != nil || o == nil || o.local || o.manifest.Scope != artifacts.Data {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, p := range o.manifest.Parts {
		name, isVolume := p.Durable()
		isDeclared := slices.Contains(root.decl.emptyDirs, name) ||
			slices.ContainsFunc(root.decl.volumes, func(d durabledir.Declaration) bool { return d.Name == name })
		if _, ok := s.volumes[name]; isVolume && isDeclared && !ok {
			names = append(names, name)
		}
	}
	return names
}
