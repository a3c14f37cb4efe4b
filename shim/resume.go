// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	eventstypes "github.com/containerd/containerd/api/events"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/local"
	ateomv1 "github.com/ateom/ateom/proto/ateom/v1"
)

// resume resumes the sandbox; requests that come while one is under way share
// its outcome.
func (s *Service) resume(ctx context.Context, sb *sandbox) ([]*ateomv1.Phase, error) {
	v, err, _ := sb.once.Do("resume", func() (any, error) {
		phases, unready, err := s.resumeOnce(ctx, sb)
		return phases, errors.Join(err, unready)
	})
	return v.([]*ateomv1.Phase), err
}

// resumeOnce brings a paused sandbox back in place and returns when its probes
// pass. If anything fails, the sandbox is paused as before and can be resumed
// again; unready is the exception that the author asked for: the sandbox runs,
// and its probes do not pass.
func (s *Service) resumeOnce(ctx context.Context, sb *sandbox) (phases []*ateomv1.Phase, unready, err error) {
	clock := newStopwatch(ctx)
	defer func() { sb.ended(ctx, verbResume, clock, errors.Join(err, unready)) }()
	ctx, end, err := sb.begin(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer end()
	if state := sb.machine.state(); state != Paused {
		return nil, nil, fmt.Errorf("resume sandbox %s: it is %s, not paused: %w", sb.id, state, errdefs.ErrFailedPrecondition)
	}
	snap := sb.paused
	clock.snapshot = snap.Manifest
	if sb.incomplete != "" {
		return nil, nil, fmt.Errorf("resume sandbox %s: container %s was killed while it was paused, and snapshot %s still holds it; kill the sandbox, or start a new one from a committed snapshot: %w",
			sb.id, sb.incomplete, snap.Manifest.ID, errdefs.ErrFailedPrecondition)
	}
	if err := sb.checkCompatible(ctx, snap.Manifest, ""); err != nil {
		return nil, nil, err
	}
	if err := sb.machine.move(Resuming, Paused); err != nil {
		return nil, nil, err
	}
	live := sb.live()
	var l *life
	defer func() {
		if err != nil {
			sb.abandonResume(context.WithoutCancel(ctx), live)
			sb.noteRecord(ctx, snap.Manifest.ID)
			_ = sb.machine.move(Paused, Resuming)
			err = fmt.Errorf("resume sandbox %s; it is paused again, snapshot %s is intact: %w", sb.id, snap.Manifest.ID, err)
		}
	}()

	clock.waited()
	if sb.network != nil {
		if err := sb.lendNetwork(); err != nil {
			return nil, nil, fmt.Errorf("%w: %w", err, errdefs.ErrFailedPrecondition)
		}
		clock.mark("network")
	}
	if err := sb.beginAgain(snap.Manifest.ID); err != nil {
		return nil, nil, err
	}
	sb.noteRecord(ctx, "")
	release := sb.use(snap.Manifest.ID)
	defer release()
	for _, c := range live {
		pid, err := sb.wake(ctx, c, snap)
		if err != nil {
			return nil, nil, err
		}
		if c.isRoot(sb) {
			l = sb.newLife(pid)
		}
	}
	clock.mark("restore")
	if err := sb.comeBack(ctx, snap.Manifest.Scope, live, clock); err != nil {
		if !sb.keepsUnready(err) {
			return nil, nil, err
		}
		unready = fmt.Errorf("resume sandbox %s; it runs on, not ready: %w", sb.id, err)
	}
	sb.setPace(ctx, sb.cfg.Hydrate)
	if err := context.Cause(ctx); err != nil {
		return nil, nil, err
	}
	if err := sb.machine.move(Running, Resuming); err != nil {
		return nil, nil, err
	}
	for _, c := range live {
		c.init.setPid(l.pid)
		s.events.put(&eventstypes.TaskResumed{ContainerID: c.id})
		go s.watch(sb, l, c)
		sb.deliverPending(ctx, c)
	}
	return clock.phases, unready, nil
}

// wake makes a container anew and starts it from snap. It returns the pid of
// the sandbox's process.
func (s *sandbox) wake(ctx context.Context, c *container, snap *local.Snapshot) (pid int, err error) {
	full := snap.Manifest.Scope == artifacts.Full
	if full && c.isRoot(s) {
		return s.recreateRoot(ctx, c, image{dir: snap.Dir})
	}
	if pid, err = s.createContainer(ctx, c); err != nil {
		return 0, err
	}
	if full {
		return pid, s.restoreContainer(ctx, c, image{dir: snap.Dir})
	}
	return pid, s.startContainer(ctx, c) // a cold boot over its DurableDirs
}

// abandonResume removes what a failed resume has made.
func (s *sandbox) abandonResume(ctx context.Context, live []*container) {
	s.endLife()
	for _, c := range live {
		if err := s.runsc.Delete(ctx, c.id); err != nil {
			log.G(ctx).WithError(err).WithField("container", c.id).Debug("delete half resumed container")
		}
		if t := c.init.streams.Terminal; t != nil {
			t.Detach()
		}
	}
}

// deliverPending sends the signals that came while the sandbox was paused.
func (s *sandbox) deliverPending(ctx context.Context, c *container) {
	for _, signal := range c.takeSignals() {
		if err := s.control.Signal(ctx, c.id, 0, syscall.Signal(signal)); err != nil {
			log.G(ctx).WithError(err).WithField("signal", signal).Warn("deliver a signal that came during the pause")
		}
	}
}
