// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/artifacts"
)

// A PodCheckpoint is the shim's side of CRI's CheckpointPod (KEP-5823). No
// containerd asks for it yet; its words are those of CRI's request.
type PodCheckpoint struct {
	// Sandbox is the id of the pod's sandbox.
	Sandbox string
	// OutputPath is an existing, empty directory, which is the caller's.
	OutputPath string
	// Containers are exactly the pod's running containers, without the sandbox's own.
	Containers []string
	// Options are refused: this runtime has none.
	Options map[string]string
}

// CheckpointPod writes a Full snapshot of a pod, as a store with that one
// snapshot, into a directory. All containers are frozen before anything is
// captured, and run again, or sleep on, when it returns, whatever it returns.
// After an error the directory is empty again.
func (s *Service) CheckpointPod(ctx context.Context, r *PodCheckpoint) (err error) {
	sb, _, err := s.lookup(r.Sandbox)
	if err != nil {
		return err
	}
	if sb.id != r.Sandbox {
		return fmt.Errorf("checkpoint pod: container %s is not a sandbox's own: %w", r.Sandbox, errdefs.ErrInvalidArgument)
	}
	if err := refuseOptions(r.Options); err != nil {
		return fmt.Errorf("checkpoint pod %s: %w", r.Sandbox, err)
	}
	if err := sameSet(r.Containers, sb.members()); err != nil {
		return fmt.Errorf("checkpoint pod %s: containers: %w", r.Sandbox, err)
	}
	if err := checkEmpty(r.OutputPath); err != nil {
		return fmt.Errorf("checkpoint pod %s: output path: %w", r.Sandbox, err)
	}
	plan, err := sb.planCommit(string(artifacts.Full), fileURL(r.OutputPath), nil)
	if err != nil {
		return err
	}
	plan.members = r.Containers // one may start, or end, before the sandbox is frozen
	_, err = s.commit(ctx, sb, plan, sb.noteProgress)
	sb.setProgress(nil)
	if err != nil {
		return errors.Join(err, empty(r.OutputPath))
	}
	return nil
}

// members are the ids of the containers that run, without the sandbox's own.
func (s *sandbox) members() (ids []string) {
	for _, c := range s.live() {
		if !c.isRoot(s) {
			ids = append(ids, c.id)
		}
	}
	return ids
}

func refuseOptions(options map[string]string) error {
	if len(options) > 0 {
		return fmt.Errorf("option %q is not known to this runtime: %w", slices.Sorted(maps.Keys(options))[0], errdefs.ErrInvalidArgument)
	}
	return nil
}

// sameSet refuses a list that is empty, names something twice, or is not want.
func sameSet(got, want []string) error {
	sorted, wanted := slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	switch {
	case len(got) == 0:
		return fmt.Errorf("none is named: %w", errdefs.ErrInvalidArgument)
	case len(slices.Compact(slices.Clone(sorted))) != len(got):
		return fmt.Errorf("%q names one twice: %w", got, errdefs.ErrInvalidArgument)
	case !slices.Equal(sorted, wanted):
		return fmt.Errorf("want exactly %q, got %q: %w", wanted, sorted, errdefs.ErrFailedPrecondition)
	}
	return nil
}

// checkEmpty refuses what is no empty directory.
func checkEmpty(dir string) error {
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("want an absolute path, got %q: %w", dir, errdefs.ErrInvalidArgument)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("%w: %w", err, errdefs.ErrInvalidArgument)
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is not empty: %w", dir, errdefs.ErrInvalidArgument)
	}
	return nil
}

// empty removes what is in a directory.
func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	errs := []error{err}
	for _, e := range entries {
		errs = append(errs, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return errors.Join(errs...)
}
