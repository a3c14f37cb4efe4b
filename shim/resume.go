// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"fmt"

	eventstypes "github.com/containerd/containerd/api/events"
	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/local"
)

// resume resumes the sandbox; requests that come while one is under way share
// its outcome.
func (s *Service) resume(ctx context.Context, sb *sandbox) (*stopwatch, error) {
	if err := sb.admit(ctx, verbResume); err != nil {
		return nil, err
	}
	return sb.resumes.do(ctx, func(ctx context.Context, f *flight[*stopwatch]) (*stopwatch, error) {
		if clock, ok := s.thawEarly(ctx, sb); ok {
			return clock, sb.stuck()
		}
		clock, unready, err := s.resumeOnce(ctx, sb, f)
		return clock, errors.Join(err, unready)
	})
}

// thawEarly ends a pause whose save goes on behind its answer, and says whether
// the sandbox runs again because of that; else the save was faster.
func (s *Service) thawEarly(ctx context.Context, sb *sandbox) (_ *stopwatch, ok bool) {
	pause, clock := sb.pauses.underWay(), newStopwatch(ctx)
	if pause == nil || !sb.cutBehind(errThawed) {
		return nil, false
	}
	select {
	case <-pause.ended:
	case <-ctx.Done():
		return nil, false
	}
	if !errors.Is(pause.outcome, errThawed) {
		return nil, false
	}
	clock.mark("thaw")
	clock.runs()
	sb.ended(ctx, verbResume, clock, sb.stuck())
	return clock, true
}

// resumeOnce brings a paused sandbox back in place and returns when its probes
// pass. If anything fails, the sandbox is paused as before and can be resumed
// again; unready is the exception that the author asked for: the sandbox runs,
// and its probes do not pass.
func (s *Service) resumeOnce(ctx context.Context, sb *sandbox, f *flight[*stopwatch]) (_ *stopwatch, unready, err error) {
	clock := newStopwatch(ctx)
	defer func() { sb.ended(ctx, verbResume, clock, errors.Join(err, unready)) }()
	ctx, end, err := sb.begin(ctx, verbResume)
	if err != nil {
		return nil, nil, err
	}
	defer end()
	defer f.part()
	snap := sb.paused
	clock.snapshot = snap.Manifest
	if err := sb.checkComplete(); err != nil {
		return nil, nil, fmt.Errorf("resume sandbox %s: %w", sb.id, err)
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
			// What a failed resume has made.
			sb.endLife()
			if l != nil {
				s.endProcess(context.WithoutCancel(ctx), l)
			}
			sb.killOrphans(context.WithoutCancel(ctx))
			sb.removeContainers(context.WithoutCancel(ctx), live)
			err = errors.Join(err, syncVolumes(sb.volumeList())) // what it has written to them stays
			sb.refuseConnections(ctx)
			sb.standIn(ctx)
			_ = sb.machine.move(Paused, Resuming)
			if errors.Is(err, errKilled) {
				err = fmt.Errorf("resume sandbox %s: %w", sb.id, err) // nor is it paused any more
				return
			}
			err = fmt.Errorf("resume sandbox %s; it is paused again, snapshot %s is intact: %w", sb.id, snap.Manifest.ID, err)
		}
	}()

	clock.waited()
	sb.standDown()
	if sb.network != nil {
		if err := sb.lendNetwork(); err != nil {
			return nil, nil, fmt.Errorf("%w: %w", err, errdefs.ErrFailedPrecondition)
		}
		clock.mark("network")
	}
	if err := sb.beginAgain(snap.Manifest.ID); err != nil {
		return nil, nil, err
	}
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
	clock.runs()
	if err := s.withEnding(l, sb.comeBack(ctx, snap.Manifest.Scope, live, clock)); err != nil {
		if !sb.keepsUnready(err) {
			return nil, nil, err
		}
		unready = fmt.Errorf("resume sandbox %s; it runs on, not ready: %w", sb.id, err)
	}
	sb.setPace(ctx, sb.cfg.Hydrate)
	if err := context.Cause(ctx); err != nil {
		return nil, nil, err
	}
	// Until now, whoever came after a shim that died would have found it paused.
	if err := sb.noteAwake(snap.Manifest.ID); err != nil {
		return nil, nil, err
	}
	if err := sb.machine.move(Running, Resuming); err != nil {
		return nil, nil, err
	}
	sb.cameBack = snap.Manifest.Scope == artifacts.Full
	sb.releaseInput(ctx)
	sb.forwardPorts(ctx)
	go s.watchCreated(sb, l)
	for _, c := range live {
		c.init.setPid(l.pid)
		s.events.put(&eventstypes.TaskResumed{ContainerID: c.id})
		go s.watch(sb, l, c)
	}
	return clock, unready, nil
}

// wake makes a container anew and starts it from snap. It returns the pid of
// the sandbox's process.
func (s *sandbox) wake(ctx context.Context, c *container, snap *local.Snapshot) (pid int, err error) {
	full := snap.Manifest.Scope == artifacts.Full
	if full && c.isRoot(s) {
		return s.recreateRoot(ctx, c, image{manifest: snap.Manifest, dir: snap.Dir})
	}
	if pid, err = s.createContainer(ctx, c); err != nil {
		return 0, err
	}
	if full {
		return pid, s.restoreContainer(ctx, c, image{manifest: snap.Manifest, dir: snap.Dir})
	}
	return pid, s.startContainer(ctx, c) // a cold boot over its DurableDirs
}
