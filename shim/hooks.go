// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/shim/hook"
)

// runHooks runs the hooks of a moment in all running containers, one after the
// other, in the order of their annotation. The first that fails and says so ends
// it. If there are any, they are a phase of their own.
func (s *sandbox) runHooks(ctx context.Context, m hook.Moment, clock *stopwatch) error {
	ran := false
	defer func() {
		if ran {
			clock.mark(m.Name())
		}
	}()
	for _, c := range s.live() {
		if s.cri && c.isRoot(s) {
			continue // it only holds the pod's namespaces
		}
		for _, h := range c.decl.hooks[m] {
			if h.Container != "" && h.Container != c.name {
				continue
			}
			ran = true
			err := s.runHook(ctx, c, &h)
			if err == nil {
				continue
			}
			err = fmt.Errorf("run %s %q in container %s: %w%s", m, h.Command, c.id, err, lastLines(s.logFile(c)))
			if h.OnFailure == hook.Abort || ctx.Err() != nil {
				return err
			}
			log.G(ctx).WithError(err).Warn("a hook failed and is ignored")
		}
	}
	return nil
}

// comeBack does what is left to do when containers run again: the hooks of
// memory that came back, and the wait until they are ready.
func (s *sandbox) comeBack(ctx context.Context, scope artifacts.Scope, containers []*container, clock *stopwatch) error {
	defer clock.mark("ready")
	if scope == artifacts.Full {
		var done func()
		ctx, done = s.untilLost(ctx)
		defer done()
		if err := s.runHooks(ctx, hook.PostRestore, clock); err != nil {
			return err
		}
	}
	err := s.awaitReady(ctx, containers)
	if scope == artifacts.Full {
		err = explain(s.seatStatus(job.Restore), err) // memory comes until then, and after
	}
	return err
}

func (s *sandbox) runHook(ctx context.Context, c *container, h *hook.Hook) error {
	limited, cancel := context.WithTimeout(ctx, h.Timeout())
	defer cancel()
	status, err := (&target{sandbox: s, container: c}).Exec(limited, h.Command)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("it was ended with its verb: %w", context.Cause(ctx))
	case limited.Err() != nil:
		return fmt.Errorf("it did not end within %s: %w", h.Timeout(), limited.Err())
	case err != nil:
		return err
	case status != 0:
		return fmt.Errorf("exit status %d: %w", status, errdefs.ErrFailedPrecondition)
	}
	return nil
}

// hookGrace is what Kill and Delete leave hooks after a save: programs of other
// containers hold still until then. The rest of killLimit is for the kill itself.
const hookGrace = killLimit / 2

// runsOn runs the hooks of a sandbox that was to be saved and runs on. Whatever
// ended the verb, programs that were told to hold still are told to go on.
func (s *sandbox) runsOn(ctx context.Context, clock *stopwatch) {
	if s.stuck() != nil {
		return // nobody could run them
	}
	ctx, done := s.outlasting(ctx, hookGrace)
	defer done()
	if err := s.runHooks(ctx, hook.PostSave, clock); err != nil {
		log.G(ctx).WithError(err).Warn("run hooks after a save")
	}
}
