// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/runsc"
)

// A sandbox that could not be thawed is stuck: no verb is under way, and its programs
// stand still. Its memory is as good as ever, so that a Pause saves it, and the Resume
// after that has a kernel of its own.

// stuckWord is what Status calls such a sandbox.
const stuckWord = "frozen"

// stuck says why the sandbox is, or is nil.
func (s *sandbox) stuck() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life == nil || s.life.stuck == nil {
		return nil
	}
	return fmt.Errorf("its programs stand still, because it could not be thawed; pause and resume it, or kill it: %w", s.life.stuck)
}

// orStuck adds to a verb's error that the sandbox is stuck, if it is.
func (s *sandbox) orStuck(err error) error {
	if stuck := s.stuck(); stuck != nil {
		return fmt.Errorf("%w; %w", err, stuck)
	}
	return err
}

// thaw undoes one freeze of a life. Whatever ended ctx, nobody is left frozen if that can
// be helped.
func (s *sandbox) thaw(ctx context.Context, l *life, bySubcommand bool) {
	ctx, cancel := runsc.Within(context.WithoutCancel(ctx), killLimit)
	defer cancel()
	once := func() error {
		if bySubcommand {
			return s.runsc.Resume(ctx, s.id)
		}
		return s.control.Thaw(ctx)
	}
	err := once()
	// gVisor counts freezes, and dies of one thaw too many: only what was certainly not
	// asked of it is asked again. runsc's own command is no other way: it takes a sandbox
	// that was frozen through the control socket for one that runs, and refuses.
	if errors.Is(err, runsc.ErrSandboxGone) && l != nil {
		if !outlives(l.pid, obituaryLimit) {
			return
		}
		err = once()
	}
	if err == nil || l == nil {
		return
	}
	log.G(ctx).WithError(err).Error("thaw sandbox")
	s.mu.Lock()
	defer s.mu.Unlock()
	l.stuck = err
}

// outlives says whether a process has not ended when the limit is over.
func outlives(pid int, limit time.Duration) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(limit.Milliseconds()))
		if !errors.Is(err, unix.EINTR) {
			return n == 0
		}
	}
}

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
			s.thaw(ctx, s.currentLife(), false)
		}
		return nil, fmt.Errorf("freeze sandbox %s: %w", s.id, err)
	}
	l := s.currentLife()
	thaw = func() { s.thaw(ctx, l, bySubcommand) }
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
