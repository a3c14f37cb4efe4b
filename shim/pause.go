// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"fmt"
	"time"

	eventstypes "github.com/containerd/containerd/api/events"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/local"
	"github.com/ateom/ateom/durabledir"
	ateomv1 "github.com/ateom/ateom/proto/ateom/v1"
	"github.com/ateom/ateom/shim/hook"
	"github.com/ateom/ateom/shim/record"
	"github.com/ateom/ateom/shim/stdio"
)

// pause pauses the sandbox; requests that come while one is under way share its
// outcome.
func (s *Service) pause(ctx context.Context, sb *sandbox) (*local.Snapshot, []*ateomv1.Phase, error) {
	type outcome struct {
		snap   *local.Snapshot
		phases []*ateomv1.Phase
	}
	v, err, _ := sb.once.Do("pause", func() (any, error) {
		snap, phases, err := s.pauseOnce(ctx, sb)
		return outcome{snap, phases}, err
	})
	o := v.(outcome)
	return o.snap, o.phases, err
}

// pauseOnce saves the sandbox to the local store and frees its memory. Until
// its bytes are safe and checked nothing is destroyed: any failure before
// leaves the sandbox running.
func (s *Service) pauseOnce(ctx context.Context, sb *sandbox) (snap *local.Snapshot, phases []*ateomv1.Phase, err error) {
	clock := newStopwatch(ctx)
	defer func() { sb.ended(ctx, verbPause, clock, err) }()
	ctx, end, err := sb.begin(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer end()
	if sb.machine.state() == Paused {
		return sb.paused, nil, nil
	}
	scope, err := sb.canSave()
	if err != nil {
		return nil, nil, err
	}
	if err := sb.machine.move(Pausing, Running); err != nil {
		return nil, nil, fmt.Errorf("pause sandbox %s: %w", sb.id, err)
	}
	defer func() {
		if err != nil {
			// Fails only if the sandbox was stopped meanwhile, which stands.
			_ = sb.machine.move(Running, Pausing)
		}
	}()

	clock.waited()
	defer func() {
		if err != nil {
			sb.runsOn(ctx, clock)
		}
	}()
	if err := sb.runHooks(ctx, hook.PreSave, clock); err != nil {
		return nil, nil, fmt.Errorf("pause sandbox %s; it runs on: %w", sb.id, err)
	}
	// What is typed from now on is for the sandbox that comes back.
	release := sb.holdInput()
	thaw, err := sb.freeze(ctx)
	if err != nil {
		release()
		return nil, nil, err
	}
	clock.mark("freeze")
	snap, err = sb.saveLocally(ctx, scope, clock)
	if err == nil {
		err = context.Cause(ctx) // a kill that came in time
	}
	if err != nil {
		thaw()
		release()
		if snap != nil {
			sb.discard(snap.Manifest.ID)
		}
		return nil, nil, fmt.Errorf("pause sandbox %s; it runs on: %w", sb.id, err)
	}

	// From here on the snapshot is the sandbox.
	s.free(context.WithoutCancel(ctx), sb, snap, thaw)
	clock.mark("free")
	if err := sb.machine.move(Paused, Pausing); err != nil {
		return nil, nil, err
	}
	for _, c := range sb.live() {
		s.events.put(&eventstypes.TaskPaused{ContainerID: c.id})
	}
	clock.snapshot = snap.Manifest
	shrink()
	return snap, clock.phases, nil
}

// canSave refuses what a snapshot could not hold, and returns what a Pause keeps.
func (s *sandbox) canSave() (artifacts.Scope, error) {
	live := s.live()
	if len(live) == 0 {
		return "", fmt.Errorf("sandbox %s has no running container: %w", s.id, errdefs.ErrFailedPrecondition)
	}
	for _, c := range s.all() {
		if !c.init.isStarted() {
			return "", fmt.Errorf("container %s of sandbox %s is created and not started; start or delete it first: %w", c.id, s.id, errdefs.ErrFailedPrecondition)
		}
	}
	switch scope := live[0].decl.onPause; {
	case scope == artifacts.None:
		return "", fmt.Errorf("pause sandbox %s: %s is None, so that there would be nothing to come back to; delete it instead: %w",
			s.id, annotationOnPause, errdefs.ErrFailedPrecondition)
	case scope == artifacts.Data && len(s.volumeList()) == 0:
		return "", fmt.Errorf("pause sandbox %s: %s is Data, and it declares no DurableDirs (%s): %w",
			s.id, annotationOnPause, durabledir.Annotation, errdefs.ErrFailedPrecondition)
	default:
		return scope, nil
	}
}

// saveLocally saves the frozen sandbox as a snapshot in the local store.
func (s *sandbox) saveLocally(ctx context.Context, scope artifacts.Scope, clock *stopwatch) (_ *local.Snapshot, err error) {
	draft, err := s.local.NewDraft(artifacts.NewID(time.Now()))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, draft.Abort())
		}
	}()
	m, err := s.manifest(ctx, draft.ID(), scope, nil)
	if err != nil {
		return nil, err
	}
	if m.Scope == artifacts.Full {
		if m.Parts, err = s.save(ctx, draft.Dir()); err != nil {
			return nil, err
		}
	}
	// The volumes stay where they are, and belong to the snapshot.
	if err := s.syncVolumes(); err != nil {
		return nil, err
	}
	clock.mark("save")
	snap, err := draft.Publish(m)
	if err != nil {
		return nil, err
	}
	clock.mark("publish")
	return snap, nil
}

// free removes the frozen sandbox from memory, now that snap holds it.
func (s *Service) free(ctx context.Context, sb *sandbox, snap *local.Snapshot, thaw func()) {
	live := sb.live()
	l := sb.currentLife()
	sb.endLife() // the ends that follow are nobody's business
	sb.closeConnections(ctx, live, thaw)
	s.endProcess(ctx, l)
	for _, c := range live {
		// The root container first: the others cannot be asked about any more, but
		// their ids are free once it is gone.
		err := sb.runsc.Delete(ctx, c.id)
		if err != nil && c.isRoot(sb) {
			err = sb.runsc.Delete(ctx, c.id)
			log.G(ctx).WithError(err).Error("delete paused sandbox at the second attempt")
		}
		for _, e := range c.liveExecs() {
			s.execExited(c, e, killedStatus)
		}
		if t := c.init.streams.Terminal; t != nil {
			t.Detach()
		}
	}
	sb.refuseConnections(ctx)
	sb.mu.Lock()
	previous := sb.paused
	sb.paused = snap
	sb.mu.Unlock()
	if previous != nil {
		sb.discard(previous.Manifest.ID)
	}
	sb.noteRecord(ctx, snap.Manifest.ID)
}

// noteRecord writes the root container's record anew. While the sandbox is
// paused its volumes belong to the snapshot; as soon as it may run again they
// go on without it, which a crash must find in the record.
func (s *sandbox) noteRecord(ctx context.Context, paused artifacts.ID) {
	root, err := s.container(s.id)
	if err == nil {
		err = record.Write(root.bundle, s.record(root, paused))
	}
	if err != nil {
		log.G(ctx).WithError(err).Warn("note what the sandbox is paused in")
	}
	s.noteAsleep(ctx, paused)
}

// holdInput keeps what is typed into the sandbox's terminals back, until the
// returned function is called or they get another master.
func (s *sandbox) holdInput() (release func()) {
	var held []*stdio.Terminal
	for _, c := range s.live() {
		if t := c.init.openStreams().Terminal; t != nil {
			t.HoldInput()
			held = append(held, t)
		}
	}
	return func() {
		for _, t := range held {
			t.ReleaseInput()
		}
	}
}

// endProcess kills a sandbox's process and waits until its memory is free.
// runsc does that too, but looks only every 100 ms whether the process is gone.
func (s *Service) endProcess(ctx context.Context, l *life) {
	ctx, cancel := context.WithTimeout(ctx, lastWordLimit)
	defer cancel()
	if err := unix.Kill(l.pid, unix.SIGKILL); err != nil {
		log.G(ctx).WithError(err).WithField("pid", l.pid).Debug("end sandbox process")
		return
	}
	if _, err := s.exits.Wait(ctx, l.pid); err != nil {
		log.G(ctx).WithError(err).WithField("pid", l.pid).Warn("wait for the end of the sandbox process")
	}
}
