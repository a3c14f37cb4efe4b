// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/runsc"
)

// killLimit bounds every wait of Kill and Delete, below containerd's patience.
const killLimit = 4 * time.Second

// signalLimit bounds the delivery of signals in the sandbox's turn, which a Kill may
// wait for.
const signalLimit = killLimit / 2

// Kill sends a signal. SIGKILL wins in every state and waits for no verb:
// whatever is under way is abandoned. Other signals are kept until the sandbox
// runs.
func (s *Service) Kill(ctx context.Context, r *taskapi.KillRequest) (*emptypb.Empty, error) {
	sb, c, p, err := s.lookupProcess(r.GetID(), r.GetExecID())
	if err != nil {
		return nil, err
	}
	if rule(verbKill, sb.column(p)) == gone {
		return nil, fmt.Errorf("kill process %s of %s: %w", r.GetExecID(), c.id, errEnded)
	}
	if r.GetSignal() != uint32(syscall.SIGKILL) {
		return &emptypb.Empty{}, s.signal(ctx, sb, c, r)
	}
	ctx, cancel := runsc.Within(ctx, killLimit)
	defer cancel()
	if r.GetExecID() != "" {
		return &emptypb.Empty{}, sb.deliver(ctx, c, r)
	}
	if rule(verbKill, sb.column(p)) == acts {
		if done, err := s.killRunning(ctx, sb, c, r); done {
			return &emptypb.Empty{}, err
		}
	}
	return &emptypb.Empty{}, s.killHard(ctx, sb, c, verbKill)
}

// killRunning kills a container of a sandbox that simply runs, and keeps the
// sandbox's turn until its end was noticed: a pause that came in between would
// save a process that is about to die. It says whether that is done; it is not
// if a verb is under way, or the sandbox does not answer in time.
func (s *Service) killRunning(ctx context.Context, sb *sandbox, c *container, r *taskapi.KillRequest) (done bool, err error) {
	end, ok := sb.tryTake()
	if !ok {
		return false, nil
	}
	defer end()
	if sb.machine.state() != Running || sb.restoring() {
		return false, nil
	}
	ctx, cancel := runsc.Within(ctx, killLimit/2)
	defer cancel()
	if err := sb.deliver(ctx, c, r); err != nil {
		return errors.Is(err, errdefs.ErrNotFound), err
	}
	select {
	case <-c.init.exited:
		return true, nil
	case <-ctx.Done():
		return false, nil
	}
}

// signal delivers a signal now, or keeps it for the moment when the sandbox runs
// and nothing is under way.
func (s *Service) signal(ctx context.Context, sb *sandbox, c *container, r *taskapi.KillRequest) error {
	end, ok := sb.tryTake()
	if !ok {
		c.keepSignal(r)
		sb.deliverKept() // the verb may have ended a moment ago
		return nil
	}
	defer end()
	if sb.machine.state() == Paused || sb.restoring() {
		c.keepSignal(r)
		return nil
	}
	ctx, cancel := runsc.Within(ctx, signalLimit)
	defer cancel()
	return withState(sb.currentLife(), sb.deliver(ctx, c, r))
}

// deliverKept sends the signals that were kept, once the sandbox runs. Whoever
// has the sandbox's turn comes here when it is over.
func (s *sandbox) deliverKept() {
	for s.machine.state() == Running && slices.ContainsFunc(s.all(), (*container).hasKept) {
		select {
		case s.verb <- struct{}{}:
		default:
			return
		}
		ctx, cancel := runsc.Within(context.Background(), signalLimit)
		for _, c := range s.all() {
			for _, r := range c.takeSignals() {
				if err := s.deliver(ctx, c, r); err != nil && !errors.Is(err, errEnded) {
					log.L.WithError(err).WithField("signal", r.GetSignal()).Warn("deliver a signal that came during a verb")
				}
			}
		}
		cancel()
		<-s.verb
	}
}

// errEnded refuses a signal to a process that has ended.
var errEnded = fmt.Errorf("it has ended: %w", errdefs.ErrNotFound)

// deliver sends a signal to a process of a running sandbox. One that has ended since
// the signal was kept has none: its pid may be another one's, which began after a
// Resume.
func (s *sandbox) deliver(ctx context.Context, c *container, r *taskapi.KillRequest) (err error) {
	signal := syscall.Signal(r.GetSignal())
	if p, err := c.process(r.GetExecID()); err != nil {
		return err
	} else if p.hasExited() {
		return fmt.Errorf("kill process %s of %s: %w", r.GetExecID(), c.id, errEnded)
	}
	switch {
	case r.GetExecID() != "":
		e, eErr := c.exec(r.GetExecID())
		if eErr != nil {
			return eErr
		}
		if !e.isStarted() {
			return fmt.Errorf("signal process %s: it was not started: %w", r.GetExecID(), errdefs.ErrFailedPrecondition)
		}
		err = s.control.Signal(ctx, c.id, e.inner, signal)
	case r.GetAll():
		err = s.control.SignalAll(ctx, c.id, signal)
	default:
		err = s.control.Signal(ctx, c.id, 0, signal)
	}
	if errors.Is(err, runsc.ErrUnsupported) {
		err = s.runsc.Kill(ctx, c.id, int(signal), r.GetAll())
	}
	if errors.Is(err, runsc.ErrSandboxGone) {
		return fmt.Errorf("signal %s: %w: %w", c.id, err, errdefs.ErrNotFound)
	}
	return err
}

// killHard ends a container whose sandbox does not simply run: it may be
// paused, frozen, half created or half restored. ctx bounds it.
func (s *Service) killHard(ctx context.Context, sb *sandbox, c *container, by verb) error {
	defer sb.overrule(by, c)()
	// A frozen kernel serves no signals, but its process dies like any other.
	if err := s.killSandbox(ctx, sb, c); err != nil {
		return err
	}
	verbCtx, end, err := sb.take(ctx)
	if err != nil {
		return err
	}
	defer end()
	if c.init.isStarted() && sb.machine.state() == Running && !c.isRoot(sb) {
		return sb.control.SignalAll(verbCtx, c.id, syscall.SIGKILL)
	}
	// A resume that could not be interrupted any more has made another process.
	if err := s.killSandbox(ctx, sb, c); err != nil {
		return err
	}
	if c.isRoot(sb) {
		s.awaitProcess(ctx, sb.currentLife(), orphanLimit)
		for _, other := range sb.all() {
			if other != c {
				s.exited(sb, other, killedStatus)
			}
		}
		sb.endLife()
		sb.standDown()
	}
	if !c.isRoot(sb) && sb.machine.state() == Paused && sb.paused.Manifest.Scope == artifacts.Full {
		sb.incomplete = c.id
	}
	s.exited(sb, c, killedStatus)
	return nil
}

// killSandbox kills the sandbox's process, if there is one and c is its root.
func (s *Service) killSandbox(ctx context.Context, sb *sandbox, c *container) error {
	if !c.isRoot(sb) {
		return nil
	}
	l := sb.currentLife()
	if l == nil {
		sb.killOrphans(ctx) // it may be in the making
		return nil
	}
	if err := s.processes.Kill(l.pid); err != nil {
		return fmt.Errorf("kill sandbox %s: %w", sb.id, err)
	}
	return nil
}

// orphanLimit bounds the wait for processes that were killed.
const orphanLimit = time.Second

// killOrphans kills what a runsc that did not come to its end has made of the
// sandbox, and what waits for something that will not come.
func (s *sandbox) killOrphans(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, orphanLimit)
	defer cancel()
	if err := s.runsc.KillOrphans(ctx); err != nil {
		log.G(ctx).WithError(err).Warn("kill what is left of a sandbox")
	}
}
