// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"fmt"

	eventstypes "github.com/containerd/containerd/api/events"
	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/ateom/ateom/artifacts"
)

// Start starts a container's first process, or one that was exec'd. A sandbox
// that begins from a snapshot is ready when Start returns.
func (s *Service) Start(ctx context.Context, r *taskapi.StartRequest) (*taskapi.StartResponse, error) {
	sb, c, p, err := s.lookupProcess(r.GetID(), r.GetExecID())
	if err != nil {
		return nil, err
	}
	ctx, end, err := sb.begin(ctx)
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

func (s *Service) startInit(ctx context.Context, sb *sandbox, c *container) error {
	if state := sb.machine.state(); state != Created && state != Running {
		return fmt.Errorf("start container %s: sandbox is %s: %w", c.id, state, errdefs.ErrFailedPrecondition)
	}
	life := sb.currentLife()
	if life == nil {
		return fmt.Errorf("start container %s: its sandbox has ended: %w", c.id, errdefs.ErrFailedPrecondition)
	}
	clock := newStopwatch()
	if o := sb.origin; o != nil && o.manifest.Scope == artifacts.Full {
		if err := sb.restoreContainer(ctx, c, o.image()); err != nil {
			return fmt.Errorf("start container %s from snapshot %s: %w", c.id, o.manifest.ID, err)
		}
		clock.mark("restore")
	} else if err := sb.startContainer(ctx, c); err != nil {
		return fmt.Errorf("start container %s: %w", c.id, err)
	}
	c.init.setStarted(life.pid)
	if sb.machine.state() == Created {
		if err := sb.machine.move(Running, Created); err != nil {
			return err
		}
	}
	s.events.put(&eventstypes.TaskStart{ContainerID: c.id, Pid: uint32(life.pid)})
	go s.watch(sb, life, c)

	if sb.origin == nil {
		return nil
	}
	if err := sb.awaitOrigin(ctx, c); err != nil {
		err = fmt.Errorf("start container %s from snapshot %s: %w", c.id, sb.origin.manifest.ID, err)
		if !sb.keepsUnready(err) {
			s.killContainer(context.WithoutCancel(ctx), sb, c)
			return err
		}
		// An error would have containerd delete the task.
		log.G(ctx).WithError(err).Warn("the sandbox runs on, not ready")
	}
	clock.mark("ready")
	sb.setPace(ctx, sb.cfg.Hydrate)
	sb.setReport(ctx, "Restore", clock.phases)
	return nil
}

// startContainer runs runsc start.
func (s *sandbox) startContainer(ctx context.Context, c *container) error {
	if c.isRoot(s) {
		return s.runsc.Start(ctx, c.id, noIO) // its streams went with create
	}
	return s.runsc.Start(ctx, c.id, c.io())
}
