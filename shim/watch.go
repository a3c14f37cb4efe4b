// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"slices"
	"time"

	eventstypes "github.com/containerd/containerd/api/events"
	"github.com/containerd/log"

	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/runsc"
	"github.com/ateom/ateom/shim/cgroup"
)

// execGrace is how long a container's end waits for those of its exec'd
// processes to be told, which end with it and are reported first.
const execGrace = 2 * time.Second

// lastWordLimit bounds the wait for a process that no longer serves its socket.
const lastWordLimit = 5 * time.Second

// watch waits for the end of a container's first process and reports it. When
// the life is over, it stops and reports nothing.
func (s *Service) watch(sb *sandbox, l *life, c *container) {
	status, err := sb.control.Wait(l.ctx, c.id)
	if errors.Is(err, runsc.ErrUnsupported) {
		status, err = sb.runsc.Wait(l.ctx, c.id)
	}
	if l.ctx.Err() != nil {
		return
	}
	if err != nil {
		status = s.lastWord(sb, l, c, err)
	}
	sb.awaitHandOver(l.ctx)
	if c.isRoot(sb) {
		if noted := seatFailure(sb.seatStatus(job.Restore)); noted != nil {
			log.L.WithField("sandbox", sb.id).WithField("status", status).Errorf("the sandbox has ended whose memory could not be brought back: %s", noted.Error)
		}
	}
	s.exited(sb, c, status)
}

// watchCreated waits for the end of a sandbox's process, and then reports that of the
// containers that were never started: nobody watches those.
func (s *Service) watchCreated(sb *sandbox, l *life) {
	if _, err := s.processes.Wait(l.ctx, l.pid); err != nil {
		return // the life is over
	}
	// A verb that the process has died under fails first, and says why.
	_, end, err := sb.take(l.ctx)
	if err != nil {
		return
	}
	defer end()
	for _, c := range slices.Backward(sb.all()) {
		if l.ctx.Err() == nil && !c.init.isStarted() {
			s.exited(sb, c, s.lastWord(sb, l, c, errNotStarted))
		}
	}
}

// errNotStarted is what is known of the end of a container that was not started.
var errNotStarted = errors.New("it was not started")

// lastWord finds out how a container ended whose sandbox answers no more. A
// sandbox's process exits with the status of its root container, if it was not
// killed itself: by the kernel for want of memory, or by somebody.
func (s *Service) lastWord(sb *sandbox, l *life, c *container, err error) int {
	ctx, cancel := context.WithTimeout(l.ctx, lastWordLimit)
	defer cancel()
	status, waitErr := s.processes.Wait(ctx, l.pid)
	if waitErr != nil {
		log.L.WithError(errors.Join(err, waitErr)).WithField("container", c.id).Warn("sandbox ended without a word")
		return killedStatus
	}
	if words := sb.runsc.LastWords(); words != "" && c.isRoot(sb) {
		log.L.WithField("sandbox", sb.id).WithField("status", status).Errorf("the sandbox has died; its last words: %q", words)
	}
	if status == killedStatus && cgroup.OOMKills(sb.limits) > l.oomKills {
		s.events.put(&eventstypes.TaskOOM{ContainerID: c.id})
	}
	if !c.isRoot(sb) {
		return killedStatus // it died with its sandbox, whatever that died of
	}
	return status
}

// countOOMKills notes the kills that the next life has nothing to do with, before
// its sandbox is made.
func (s *sandbox) countOOMKills() {
	n := cgroup.OOMKills(s.limits)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.oomKills = n
}

// exited reports the end of a container's first process.
func (s *Service) exited(sb *sandbox, c *container, status int) {
	grace, cancel := context.WithTimeout(context.Background(), execGrace)
	defer cancel()
	for _, e := range c.liveExecs() {
		select {
		case <-e.exited:
		case <-grace.Done():
			s.execExited(c, e, killedStatus)
		}
	}
	// Who is told that the sandbox is stopped is told how its process ended.
	first := c.init.end(status)
	if c.isRoot(sb) {
		sb.machine.stop()
	}
	sb.noteEnd(c, status)
	if first {
		c.init.closeStreams()
		s.events.put(exitEvent(c.id, c.init))
	}
}

// killContainer ends a container for good and waits for it, a bounded time.
func (s *Service) killContainer(ctx context.Context, sb *sandbox, c *container) {
	ctx, cancel := runsc.Within(ctx, killLimit)
	defer cancel()
	if err := sb.control.SignalAll(ctx, c.id, 9); err != nil {
		log.G(ctx).WithError(err).Warn("kill container")
	}
	select {
	case <-c.init.exited:
	case <-ctx.Done():
	}
}
