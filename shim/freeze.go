// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/runsc"
)

// freeze stops the sandbox's kernel and proves that every container that is
// believed to run does. On success thaw must be called, unless the sandbox is
// deleted.
func (s *sandbox) freeze(ctx context.Context) (thaw func(), err error) {
	if s.restoring() {
		return nil, s.errStillRestoring()
	}
	// A save waits until every page of the last restore has come.
	s.setPace(ctx, job.PaceUrgent)
	// Not with ctx: a call that is given up may have frozen the sandbox all the same.
	call := context.WithoutCancel(ctx)
	err = s.control.Freeze(call)
	bySubcommand := errors.Is(err, runsc.ErrUnsupported)
	if bySubcommand {
		err = s.runsc.Pause(call, s.id)
	}
	if err != nil {
		if !bySubcommand && errors.Is(err, context.DeadlineExceeded) {
			err = errors.Join(err, s.control.Thaw(call))
		}
		return nil, fmt.Errorf("freeze sandbox %s: %w", s.id, err)
	}
	thaw = func() {
		// Whatever ended ctx, nobody is left frozen.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), killLimit)
		defer cancel()
		var err error
		if bySubcommand {
			err = s.runsc.Resume(ctx, s.id)
		} else {
			err = s.control.Thaw(ctx)
		}
		if err != nil && !errors.Is(err, runsc.ErrSandboxGone) {
			log.G(ctx).WithError(err).Error("thaw sandbox")
		}
	}
	for _, c := range s.live() {
		// A process may have ended a moment ago, before the watcher heard of it.
		// What is saved must not be dead.
		ps, err := s.control.Processes(ctx, c.id)
		if err != nil {
			thaw()
			return nil, fmt.Errorf("look into frozen sandbox %s: %w", s.id, err)
		}
		if len(ps) == 0 {
			thaw()
			return nil, fmt.Errorf("container %s has just ended: %w", c.id, errdefs.ErrFailedPrecondition)
		}
	}
	return thaw, nil
}
