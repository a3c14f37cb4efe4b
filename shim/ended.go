// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
)

// gVisor counts a container from create to delete, whether its program runs or
// not, and a restore begins when as many have come as the snapshot holds (gVisor's
// runsc/boot/restore.go). One that nobody brings would keep all others waiting for
// ever: what is saved may hold no container but those that run.

// settleMembers deletes from the sandbox the containers that have ended, which stay
// with the shim until they are deleted there, and refuses those that were never
// started. Who calls it has the sandbox's turn.
func (s *sandbox) settleMembers(ctx context.Context) error {
	for _, c := range s.all() {
		if !c.init.isStarted() {
			return fmt.Errorf("container %s of sandbox %s is created and not started; start or delete it first: %w", c.id, s.id, errdefs.ErrFailedPrecondition)
		}
		if !s.holdsEnded(c) {
			continue
		}
		if err := s.runsc.Delete(ctx, c.id); err != nil {
			return fmt.Errorf("container %s has ended, and could not be deleted from the sandbox: %w", c.id, err)
		}
		c.gone = true
	}
	return nil
}

// checkSettled refuses a frozen sandbox of which a container has ended since
// settleMembers.
func (s *sandbox) checkSettled() error {
	for _, c := range s.all() {
		if s.holdsEnded(c) {
			return fmt.Errorf("container %s has just ended: %w", c.id, errdefs.ErrFailedPrecondition)
		}
	}
	return nil
}

// holdsEnded says whether the sandbox still holds c, whose program has ended.
func (s *sandbox) holdsEnded(c *container) bool {
	return !c.isRoot(s) && !c.skipped && !c.gone && c.init.hasExited()
}

// checkComplete refuses the memory that a sandbox sleeps with when it holds a container
// that was killed since.
func (s *sandbox) checkComplete() error {
	if s.incomplete == "" {
		return nil
	}
	return fmt.Errorf("container %s was killed while it was paused, and snapshot %s still holds it; kill the sandbox, or start a new one from a committed snapshot: %w",
		s.incomplete, s.paused.Manifest.ID, errdefs.ErrFailedPrecondition)
}
