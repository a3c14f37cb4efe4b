// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"fmt"

	eventstypes "github.com/containerd/containerd/api/events"
	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
)

// Start starts a container's first process, or one that was exec'd. A sandbox
// that begins from a snapshot is ready when Start returns.
func (s *Service) Start(ctx context.Context, r *taskapi.StartRequest) (*taskapi.StartResponse, error) {
	sb, c, p, err := s.lookupProcess(r.GetID(), r.GetExecID())
	if err != nil {
		return nil, err
	}
	var end func()
	if r.GetExecID() != "" {
		ctx, end, err = s.beginExec(ctx, sb, c, r.GetExecID())
	} else {
		ctx, end, err = sb.begin(ctx, verbStart)
	}
	if err != nil {
		return nil, err
	}
	defer end()
	if p.isStarted() || p.hasExited() {
		return nil, fmt.Errorf("start process %s of %s: it was started already: %w", r.GetExecID(), r.GetID(), errdefs.ErrFailedPrecondition)
	}
	if r.GetExecID() != "" {
		err = s.startExec(ctx, sb, c, r.GetExecID())
	} else {
		err = s.startInit(ctx, sb, c)
	}
	if err != nil {
		return nil, err
	}
	return &taskapi.StartResponse{Pid: uint32(p.hostPid())}, nil
}

// beginExec is begin for the start of an exec'd process: by the container's policy,
// what is paused, or becomes so before it is our turn, is resumed first.
func (s *Service) beginExec(ctx context.Context, sb *sandbox, c *container, execID string) (verbCtx context.Context, end func(), err error) {
	for {
		if c.decl.execWhilePaused == pausedResume && (sb.machine.state() == Paused || sb.isBehind()) {
			// Whoever else may have resumed it meanwhile has done the same.
			if _, err := s.resume(ctx, sb); err != nil && sb.machine.state() != Running {
				return ctx, nil, fmt.Errorf("start process %s of %s: %w", execID, c.id, err)
			}
		}
		verbCtx, end, err = sb.begin(ctx, verbStartExec)
		var refusal *RefusedError
		if c.decl.execWhilePaused == pausedResume && errors.As(err, &refusal) && refusal.State == Paused {
			continue
		}
		return verbCtx, end, err
	}
}

func (s *Service) startInit(ctx context.Context, sb *sandbox, c *container) (err error) {
	clock := newStopwatch(ctx)
	if sb.comingBack() {
		clock = sb.goOnRestoring(clock)
		defer func() {
			if err != nil || sb.hasComeBack() {
				sb.endRestore(ctx, err)
			}
		}()
	}
	life := sb.currentLife()
	if life == nil {
		return fmt.Errorf("start container %s: its sandbox has ended: %w", c.id, errdefs.ErrFailedPrecondition)
	}
	if c.skipped {
		c.init.setStarted(life.pid)
		s.events.put(&eventstypes.TaskStart{ContainerID: c.id, Pid: uint32(life.pid)})
		s.exited(sb, c, 0)
		return nil
	}
	if sb.restoring() {
		return s.restoreInit(ctx, sb, life, c, clock)
	}
	if err := sb.startContainer(ctx, c); err != nil {
		return withState(life, fmt.Errorf("start container %s: %w", c.id, err))
	}
	if sb.machine.state() == Created {
		if err := sb.machine.move(Running, Created); err != nil {
			return err
		}
	}
	s.started(sb, life, c)
	if sb.origin == nil {
		return nil
	}
	clock.mark("start")
	if sb.cri {
		if c.isRoot(sb) && len(sb.unfilled()) == 0 {
			return sb.noteBegun()
		}
		return nil // kubelet says who is ready
	}
	clock.runs()
	return s.awaitOrigin(ctx, sb, []*container{c}, clock)
}

// restoreInit hands a container over to the memory that it comes back with. The
// sandbox runs when the last one has come.
func (s *Service) restoreInit(ctx context.Context, sb *sandbox, life *life, c *container, clock *stopwatch) error {
	o, done := sb.origin, sb.handOver()
	err := sb.restoreContainer(ctx, c, o.image())
	done()
	if err != nil {
		return fmt.Errorf("start container %s from snapshot %s: %w", c.id, o.manifest.ID, err)
	}
	sb.mu.Lock()
	last := o.arrive(c, c.isRoot(sb))
	sb.mu.Unlock()
	if last {
		if err := sb.machine.move(Running, Created); err != nil {
			return err
		}
	}
	s.started(sb, life, c)
	clock.mark("restore")
	if !last {
		return nil
	}
	sb.cameBack = true
	clock.runs()
	if err := sb.noteBegun(); err != nil {
		return err
	}
	return s.awaitOrigin(ctx, sb, sb.live(), clock)
}

// started notes that a container has been started, and watches for its end.
func (s *Service) started(sb *sandbox, l *life, c *container) {
	c.init.setStarted(l.pid)
	sb.noteStarted(c)
	s.events.put(&eventstypes.TaskStart{ContainerID: c.id, Pid: uint32(l.pid)})
	go s.watch(sb, l, c)
	if c.isRoot(sb) {
		sb.forwardPorts(context.Background())
	}
}

// awaitOrigin waits until containers that come from a snapshot are ready.
func (s *Service) awaitOrigin(ctx context.Context, sb *sandbox, containers []*container, clock *stopwatch) error {
	err := s.withEnding(sb.currentLife(), sb.comeBack(ctx, sb.origin.manifest.Scope, containers, clock))
	if err != nil && sb.keepsUnready(err) {
		// An error would have containerd delete the task.
		log.G(ctx).WithError(err).WithField("snapshot", sb.origin.manifest.ID).Warn("the sandbox runs on, not ready")
		err = nil
	}
	if err == nil {
		// Until now, whoever comes after a shim that died would have found them the snapshot's.
		err = sb.keepVolumes()
	}
	if err != nil {
		// New containers whose snapshot does not become ready are of no use.
		for _, c := range containers {
			s.killContainer(context.WithoutCancel(ctx), sb, c)
		}
		return fmt.Errorf("start from snapshot %s: %w", sb.origin.manifest.ID, err)
	}
	sb.setPace(ctx, sb.cfg.Hydrate)
	return nil
}

// startContainer runs runsc start.
func (s *sandbox) startContainer(ctx context.Context, c *container) error {
	if c.isRoot(s) {
		return s.runsc.Start(ctx, c.id, noIO) // its streams went with create
	}
	return s.runsc.Start(ctx, c.id, c.io())
}
