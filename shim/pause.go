// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	eventstypes "github.com/containerd/containerd/api/events"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/local"
	"github.com/ateom/ateom/durabledir"
	ateomv1 "github.com/ateom/ateom/proto/ateom/v1"
	"github.com/ateom/ateom/runsc"
	"github.com/ateom/ateom/shim/hook"
	"github.com/ateom/ateom/shim/volumes"
)

// A pauseOutcome is what a Pause answers.
type pauseOutcome struct {
	// snap is nil if the answer came before the save.
	snap   *local.Snapshot
	phases []*ateomv1.Phase
}

// errThawed is why a save ends that a Resume has cut short.
var errThawed = errors.New("sandbox was resumed before it was saved")

// pause pauses the sandbox; requests that come while one is under way share its
// outcome.
func (s *Service) pause(ctx context.Context, sb *sandbox) (*pauseOutcome, error) {
	if err := sb.admit(ctx, verbPause); err != nil {
		return nil, err
	}
	return sb.pauses.do(ctx, func(ctx context.Context, f *flight[*pauseOutcome]) (*pauseOutcome, error) {
		return s.pauseOnce(ctx, sb, f)
	})
}

// pauseSaved is pause for who needs the snapshot, whenever others are answered.
func (s *Service) pauseSaved(ctx context.Context, sb *sandbox) (*local.Snapshot, error) {
	sb.mu.Lock()
	before := sb.paused
	sb.mu.Unlock()
	out, err := s.pause(ctx, sb)
	if err != nil {
		return nil, err
	}
	if out.snap != nil {
		return out.snap, nil
	}
	if pause := sb.pauses.underWay(); pause != nil {
		select {
		case <-pause.ended:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	sb.mu.Lock()
	defer sb.mu.Unlock()
	if sb.paused == before {
		return nil, fmt.Errorf("pause sandbox %s: %w", sb.id, errThawed)
	}
	return sb.paused, nil
}

// pauseOnce saves the sandbox to the local store and frees its memory. Until
// its bytes are safe and checked nothing is destroyed: any failure before
// leaves the sandbox running. Where the author wants it, the request is
// answered as soon as the sandbox is frozen, and saving it goes on behind that.
func (s *Service) pauseOnce(ctx context.Context, sb *sandbox, f *flight[*pauseOutcome]) (_ *pauseOutcome, err error) {
	clock := newStopwatch(ctx)
	defer func() { sb.ended(ctx, verbPause, clock, err) }()
	ctx, end, err := sb.beginPause(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	defer f.part()
	if sb.machine.state() == Paused {
		return &pauseOutcome{snap: sb.paused}, nil
	}
	scope, err := sb.canSave()
	if err != nil {
		return nil, err
	}
	if err := sb.settleMembers(ctx); err != nil {
		return nil, fmt.Errorf("pause sandbox %s; it runs on: %w", sb.id, err)
	}
	if err := sb.machine.move(Pausing, Running); err != nil {
		return nil, fmt.Errorf("pause sandbox %s: %w", sb.id, err)
	}
	live, l := sb.live(), sb.currentLife()
	answered := false
	defer func() {
		if err == nil {
			return
		}
		if errors.Is(err, errKilled) {
			return // it is frozen, or dead; whoever has killed it says so
		}
		// Fails only if the sandbox was stopped meanwhile, which stands.
		_ = sb.machine.move(Running, Pausing)
		if answered {
			s.putResumed(live)
		}
	}()

	clock.waited()
	defer func() {
		if err != nil {
			sb.runsOn(ctx, clock)
		}
	}()
	if err := sb.runHooks(ctx, hook.PreSave, clock); err != nil {
		return nil, fmt.Errorf("pause sandbox %s; it runs on: %w", sb.id, err)
	}
	// What is typed from now on is for the sandbox that comes back.
	release := sb.holdInput(ctx)
	thaw, err := sb.freeze(ctx)
	if err == nil {
		if err = sb.checkSettled(); err != nil {
			thaw()
		}
	}
	if err != nil {
		release()
		return nil, sb.orStuck(s.withEnding(l, err))
	}
	clock.mark("freeze")
	if live[0].decl.pauseReturn == returnFrozen {
		var cut context.CancelCauseFunc
		ctx, cut = context.WithCancelCause(ctx)
		defer cut(nil)
		sb.setBehind(cut)
		answered = true
		s.putPaused(live)
		f.answer(&pauseOutcome{phases: slices.Clone(clock.phases)}, nil)
	}
	sb.noteStats(ctx, live)
	snap, err := sb.saveLocally(ctx, scope, clock, func() {
		if answered {
			// Whoever sees it run is not told that it is paused.
			if !errors.Is(context.Cause(ctx), errKilled) {
				sb.setBehind(nil)
			}
			f.part()
			// Nor is who resumes it later answered with the Resume that has cut this short.
			sb.resumes.part()
		}
		thaw()
		release()
	})
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause // what else failed, failed of that
		}
		if errors.Is(err, runsc.ErrSandboxGone) || sb.stuck() != nil {
			return nil, fmt.Errorf("pause sandbox %s: %w", sb.id, sb.orStuck(s.withEnding(l, err)))
		}
		return nil, fmt.Errorf("pause sandbox %s; it runs on: %w", sb.id, sb.adviseOnFull(err))
	}

	// From here on the snapshot is the sandbox.
	s.free(context.WithoutCancel(ctx), sb, snap, thaw)
	clock.mark("free")
	sb.standIn(ctx)
	err = sb.machine.move(Paused, Pausing)
	sb.setBehind(nil)
	if err != nil {
		return nil, err
	}
	if !answered {
		s.putPaused(live)
	}
	clock.snapshot = snap.Manifest
	return &pauseOutcome{snap: snap, phases: clock.phases}, nil
}

// beginPause is begin for a Pause: by their container's policy, exec'd
// processes are waited for, a bounded time, or are a reason to refuse.
func (s *sandbox) beginPause(ctx context.Context) (verbCtx context.Context, end func(), err error) {
	limit := time.NewTimer(execLimit)
	defer limit.Stop()
	for {
		verbCtx, end, err := s.begin(ctx, verbPause)
		if err != nil {
			return ctx, nil, err
		}
		c, e := s.execThatMatters()
		if e == nil {
			return verbCtx, end, nil
		}
		end()
		refusal := fmt.Errorf("pause sandbox %s: process %s of container %s runs, and %s is %s; end it first: %w",
			s.id, e.execID, c.id, annotationPauseWithExec, c.decl.pauseWithExec, errdefs.ErrFailedPrecondition)
		if c.decl.pauseWithExec == execRefuse {
			return ctx, nil, refusal
		}
		// Not in our turn: signals that are to end it must get through.
		select {
		case <-e.exited:
		case <-limit.C:
			return ctx, nil, refusal
		case <-ctx.Done():
			return ctx, nil, fmt.Errorf("%w: %w", refusal, context.Cause(ctx))
		}
	}
}

// execThatMatters returns an exec'd process that a pause must not end.
func (s *sandbox) execThatMatters() (*container, *execution) {
	for _, c := range s.live() {
		if c.decl.pauseWithExec == execAllow {
			continue
		}
		if live := c.liveExecs(); len(live) > 0 {
			return c, live[0]
		}
	}
	return nil, nil
}

// putResumed reports that a sandbox whose Pause was answered runs on.
func (s *Service) putResumed(live []*container) {
	for _, c := range live {
		s.events.put(&eventstypes.TaskResumed{ContainerID: c.id})
	}
}

func (s *Service) putPaused(live []*container) {
	for _, c := range live {
		s.events.put(&eventstypes.TaskPaused{ContainerID: c.id})
	}
}

// canSave refuses what a snapshot could not hold, and returns what a Pause keeps.
func (s *sandbox) canSave() (artifacts.Scope, error) {
	live := s.live()
	if len(live) == 0 {
		return "", fmt.Errorf("sandbox %s has no running container: %w", s.id, errdefs.ErrFailedPrecondition)
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

// saveLocally saves the frozen sandbox as a snapshot in the local store. If
// that fails it calls thaw, before it clears up.
func (s *sandbox) saveLocally(ctx context.Context, scope artifacts.Scope, clock *stopwatch, thaw func()) (_ *local.Snapshot, err error) {
	draft, err := s.local.NewDraft(artifacts.NewID(time.Now()))
	if err != nil {
		thaw()
		return nil, err
	}
	published := false
	defer func() {
		if err != nil {
			err = errors.Join(err, volumes.NoteRunning(s.volumesDir))
			thaw()
			err = errors.Join(err, draft.Abort())
			if published {
				s.discard(draft.ID())
			}
		}
	}()
	m, err := s.manifest(ctx, draft.ID(), scope, nil)
	if err != nil {
		return nil, err
	}
	if m.Scope == artifacts.Full {
		// What could not be resumed here is not put to sleep.
		if _, err := s.findBuild(ctx, s.build); err != nil {
			return nil, fmt.Errorf("runsc was replaced under the sandbox: %w", err)
		}
		if m.Parts, err = s.save(ctx, draft.Dir(), durable); err != nil {
			return nil, err
		}
	}
	// The volumes stay where they are, and belong to the snapshot.
	if err := volumes.NotePaused(s.volumesDir, m.ID); err != nil {
		return nil, err
	}
	if err := syncVolumes(s.volumeList()); err != nil {
		return nil, err
	}
	clock.mark("save")
	// A kill, or a Resume, that came in time.
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	snap, err := draft.Publish(m)
	if err != nil {
		return nil, err
	}
	// Before the sandbox goes, and after what the note names is there.
	if err := s.noteAsleep(m.ID); err != nil {
		published = true
		return nil, errors.Join(err, s.ledger.SetPaused(""))
	}
	clock.mark("publish")
	return snap, nil
}

// free removes the frozen sandbox from memory, now that snap holds it.
func (s *Service) free(ctx context.Context, sb *sandbox, snap *local.Snapshot, thaw func()) {
	live := sb.live()
	l := sb.currentLife()
	sb.endLife() // the ends that follow are nobody's business
	sb.recallInput(ctx)
	s.endExecs(ctx, live)
	sb.closeConnections(ctx, live, thaw)
	s.endProcess(ctx, l)
	sb.removeContainers(ctx, live)
	for _, c := range live {
		for _, e := range c.liveExecs() {
			s.execExited(c, e, killedStatus)
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
}

// endProcess kills a sandbox's process and waits until its memory is free.
// runsc does that too, but looks only every 100 ms whether the process is gone.
func (s *Service) endProcess(ctx context.Context, l *life) {
	if err := s.processes.Kill(l.pid); err != nil {
		log.G(ctx).WithError(err).Warn("end sandbox process")
		return
	}
	s.awaitProcess(ctx, l, lastWordLimit)
}

// awaitProcess waits for the end of a sandbox's process, a bounded time; l may be nil. As
// long as the process is there, runsc takes a container that it cannot ask about for one
// that runs, and forgets its cgroup when it deletes it.
func (s *Service) awaitProcess(ctx context.Context, l *life, limit time.Duration) {
	if l == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if _, err := s.processes.Wait(ctx, l.pid); err != nil {
		log.G(ctx).WithError(err).WithField("pid", l.pid).Warn("wait for the end of the sandbox process")
	}
}
