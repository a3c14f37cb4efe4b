// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/ateom/ateom/runsc"
)

// killLimit bounds every wait of Kill and Delete, below containerd's patience.
const killLimit = 4 * time.Second

// Kill sends a signal. SIGKILL wins in every state and waits for no verb:
// whatever is under way is abandoned. Other signals wait for the verb, and for
// the resume if the sandbox is paused.
func (s *Service) Kill(ctx context.Context, r *taskapi.KillRequest) (*emptypb.Empty, error) {
	sb, c, p, err := s.lookupProcess(r.GetID(), r.GetExecID())
	if err != nil {
		return nil, err
	}
	if p.hasExited() {
		return nil, fmt.Errorf("kill process %s of %s: it has ended: %w", r.GetExecID(), c.id, errdefs.ErrNotFound)
	}
	signal := syscall.Signal(r.GetSignal())
	if signal != syscall.SIGKILL {
		return &emptypb.Empty{}, s.signal(ctx, sb, c, r, signal)
	}
	if r.GetExecID() == "" && (!p.isStarted() || sb.machine.state() != Running) {
		return &emptypb.Empty{}, s.killHard(ctx, sb, c)
	}
	return &emptypb.Empty{}, s.deliver(ctx, sb, c, r, signal)
}

// signal delivers a signal that can wait.
func (s *Service) signal(ctx context.Context, sb *sandbox, c *container, r *taskapi.KillRequest, signal syscall.Signal) error {
	_, end, err := sb.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	if (sb.machine.state() == Paused || sb.restoring()) && r.GetExecID() == "" {
		c.queueSignal(r.GetSignal())
		return nil
	}
	return s.deliver(ctx, sb, c, r, signal)
}

// deliver sends a signal to a running sandbox.
func (s *Service) deliver(ctx context.Context, sb *sandbox, c *container, r *taskapi.KillRequest, signal syscall.Signal) error {
	var err error
	switch {
	case r.GetExecID() != "":
		e, eErr := c.exec(r.GetExecID())
		if eErr != nil {
			return eErr
		}
		if !e.isStarted() {
			return fmt.Errorf("signal process %s: it was not started: %w", r.GetExecID(), errdefs.ErrFailedPrecondition)
		}
		err = sb.control.Signal(ctx, c.id, e.inner, signal)
	case r.GetAll():
		err = sb.control.SignalAll(ctx, c.id, signal)
	default:
		err = sb.control.Signal(ctx, c.id, 0, signal)
	}
	if errors.Is(err, runsc.ErrUnsupported) {
		err = sb.runsc.Kill(ctx, c.id, int(signal), r.GetAll())
	}
	if errors.Is(err, runsc.ErrSandboxGone) {
		return fmt.Errorf("signal %s: %w: %w", c.id, err, errdefs.ErrNotFound)
	}
	return err
}

// killHard ends a container whose sandbox does not simply run: it may be
// paused, frozen, half created or half restored.
func (s *Service) killHard(ctx context.Context, sb *sandbox, c *container) error {
	ctx, cancel := context.WithTimeout(ctx, killLimit)
	defer cancel()
	sb.interruptVerb()
	if l := sb.currentLife(); l != nil && c.isRoot(sb) {
		// A frozen kernel serves no signals, but its process dies like any other.
		if err := unix.Kill(l.pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("kill sandbox %s: %w", sb.id, err)
		}
	}
	verbCtx, end, err := sb.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	if c.init.isStarted() && sb.machine.state() == Running && !c.isRoot(sb) {
		return sb.control.SignalAll(verbCtx, c.id, syscall.SIGKILL)
	}
	if c.isRoot(sb) {
		for _, other := range sb.all() {
			if other != c {
				s.exited(sb, other, killedStatus)
			}
		}
		sb.endLife()
	}
	if !c.isRoot(sb) && sb.machine.state() == Paused {
		sb.incomplete = c.id
	}
	s.exited(sb, c, killedStatus)
	return nil
}
