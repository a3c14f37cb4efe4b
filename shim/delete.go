// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	eventstypes "github.com/containerd/containerd/api/events"
	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/protobuf"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/ateom/ateom/artifacts/local"
	"github.com/ateom/ateom/runsc"
	"github.com/ateom/ateom/shim/cgroup"
	"github.com/ateom/ateom/shim/network"
	"github.com/ateom/ateom/shim/record"
)

// cgroupLimit bounds the wait for processes of a sandbox that were killed to end.
const cgroupLimit = time.Second

// Delete removes a process that has ended, or was never started. Deleting a
// container removes what the shim provided for it, its DurableDirs included:
// what is to outlive the task is committed first.
func (s *Service) Delete(ctx context.Context, r *taskapi.DeleteRequest) (*taskapi.DeleteResponse, error) {
	sb, c, p, err := s.lookupProcess(r.GetID(), r.GetExecID())
	if err != nil {
		return nil, err
	}
	if err := refuse(verbDelete, c.id, sb.column(p)); err != nil {
		return nil, err
	}
	if r.GetExecID() != "" {
		p.closeStreams()
		c.removeExec(r.GetExecID())
		return deleteResponse(p), nil
	}
	if err := s.deleteContainer(ctx, sb, c); err != nil {
		return nil, err
	}
	status, at := p.exit()
	s.events.put(&eventstypes.TaskDelete{
		ContainerID: c.id, Pid: uint32(p.hostPid()), ExitStatus: status, ExitedAt: protobuf.ToTimestamp(at),
	})
	return deleteResponse(p), nil
}

func deleteResponse(p *process) *taskapi.DeleteResponse {
	status, at := p.exit()
	return &taskapi.DeleteResponse{Pid: uint32(p.hostPid()), ExitStatus: status, ExitedAt: protobuf.ToTimestamp(at)}
}

func (s *Service) deleteContainer(ctx context.Context, sb *sandbox, c *container) error {
	// Whoever asked may hang up meanwhile: half a Delete helps nobody.
	ctx, cancel := runsc.Within(context.WithoutCancel(ctx), killLimit)
	defer cancel()
	defer sb.overrule(verbDelete, c)()
	ctx, end, err := sb.take(ctx)
	if err != nil {
		return err
	}
	defer end()
	// Another Delete may have had the turn, and its id be somebody else's by now.
	if now, err := sb.container(c.id); err != nil {
		return err
	} else if now != c {
		return fmt.Errorf("delete container %s: it was deleted, and made anew: %w", c.id, errdefs.ErrNotFound)
	}
	if c.isRoot(sb) {
		s.endSandbox(ctx, sb)
	} else {
		if err := sb.runsc.Delete(ctx, c.id); err != nil {
			// What is left of a sandbox whose root is gone cannot be asked any more,
			// but its id is free.
			log.G(ctx).WithError(err).Warn("delete container")
		}
		s.endUnended(sb, c)
	}
	c.init.closeStreams()
	if err := c.unmountRootfs(); err != nil {
		return err
	}
	if all := sb.all(); len(all) > 1 && all[0] == c {
		if err := passRecord(c, all[1]); err != nil {
			return err
		}
	}
	if sb.remove(c) > 0 {
		return nil
	}
	sb.endWork(ctx)
	time.AfterFunc(shutdownLimit, s.shutdownIfEmpty)
	o := sb.origin
	return errors.Join(sb.cleanUp(ctx), sb.dropVolumes(o))
}

// endSandbox ends a sandbox whose root container is deleted. All others end with it,
// those too that were not started yet, and whoever waits for one is told.
func (s *Service) endSandbox(ctx context.Context, sb *sandbox) {
	l := sb.currentLife()
	if root := sb.all()[0]; l != nil && !root.init.hasExited() {
		s.endProcess(ctx, l) // it was not started, and its sandbox lives
	}
	sb.killOrphans(ctx)
	s.awaitProcess(ctx, l, orphanLimit)
	for _, c := range slices.Backward(sb.all()) {
		s.endUnended(sb, c)
	}
	sb.removeContainers(ctx, sb.all())
	sb.machine.stop()
	sb.endLife()
}

// endUnended reports the end of a container, unless it has ended before: it was
// deleted, or its sandbox.
func (s *Service) endUnended(sb *sandbox, c *container) {
	if !c.init.hasExited() {
		s.exited(sb, c, killedStatus)
	}
}

// passRecord leaves the note on how to clean up after the shim with the next container of
// the sandbox. containerd runs the delete action after every Delete, and after that
// of the first one, the others' shim is still there.
func passRecord(from, to *container) error {
	r, err := record.Read(from.bundle)
	if err != nil || r == nil {
		return err
	}
	r.Rootfs = ""
	if to.mounted {
		r.Rootfs = to.rootfs
	}
	if err := record.Write(to.bundle, r); err != nil {
		return err
	}
	return record.Remove(from.bundle)
}

// shutdownLimit is how long a shim whose last container was deleted waits for the
// Shutdown that containerd sends at once. One that was killed between the two
// finds no task after its restart, and so sends none.
const shutdownLimit = 5 * time.Second

// ownCgroup is the cgroup that ends with the sandbox, if any does: a pod's is kubelet's,
// and one that was there before is somebody else's.
func (s *sandbox) ownCgroup() string {
	if !s.ownsCgroup {
		return ""
	}
	return s.cgroup
}

// cleanUp removes everything that the sandbox had on the node but its volumes.
func (s *sandbox) cleanUp(ctx context.Context) error {
	s.standDown()
	s.mu.Lock()
	paused, origin := s.paused, s.origin
	s.paused, s.origin = nil, nil
	s.mu.Unlock()
	if paused != nil {
		if err := s.noteAsleep(""); err != nil {
			// Without the snapshot the pod's next sandbox could not be made.
			log.G(ctx).WithError(err).WithField("snapshot", paused.Manifest.ID).Warn("the pod still sleeps in the snapshot, which stays")
		} else {
			s.discard(paused.Manifest.ID)
		}
	}
	if origin != nil {
		origin.release()
	}
	if s.network != nil {
		// gVisor took the addresses; the namespace is its owner's. It may be gone.
		if err := s.network.Apply(s.netns); err != nil {
			log.L.WithError(err).Debug("give the network namespace its addresses back")
		}
	}
	if err := errors.Join(s.closeInside(), network.Remove(s.ownNetns())); err != nil {
		return fmt.Errorf("clean up sandbox %s: %w", s.id, err)
	}
	_ = os.Remove(s.seatControl()) // what a killed gofer has left
	// runsc removes the cgroup that it has made, and not one that it has found: what a
	// runsc that was killed has left.
	ctx, cancel := context.WithTimeout(ctx, cgroupLimit)
	defer cancel()
	if err := cgroup.Remove(ctx, s.ownCgroup()); err != nil {
		log.G(ctx).WithError(err).Warn("remove the cgroup of a sandbox")
	}
	s.leaveRoster()
	// runsc keeps a network namespace mounted in its directory.
	if err := mount.UnmountRecursive(s.runsc.Root, 0); err != nil {
		return fmt.Errorf("clean up sandbox %s: %w", s.id, err)
	}
	if err := errors.Join(local.RemoveTree(s.runsc.Root), local.RemoveTree(s.scratch)); err != nil {
		return fmt.Errorf("clean up sandbox %s: %w", s.id, err)
	}
	return nil
}

// Shutdown ends the process if no container is left.
func (s *Service) Shutdown(context.Context, *taskapi.ShutdownRequest) (*emptypb.Empty, error) {
	s.shutdownIfEmpty()
	return &emptypb.Empty{}, nil
}

func (s *Service) shutdownIfEmpty() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sandbox == nil || len(s.sandbox.all()) == 0 {
		s.shutdown.Shutdown()
	}
}

// removeContainers removes from runsc what a sandbox was whose process has ended, and
// its terminals; the streams stay. The root container goes last: the cgroups of a pod's
// others lie in its own, which runsc tries for 5 s to remove and then leaves there. Were
// the kernel alive and frozen, runsc would wait for ever for what it answers about the others.
func (s *sandbox) removeContainers(ctx context.Context, containers []*container) {
	for _, c := range slices.Backward(containers) {
		err := s.runsc.Delete(ctx, c.id)
		if err != nil && c.isRoot(s) {
			err = s.runsc.Delete(ctx, c.id)
			log.G(ctx).WithError(err).Error("delete sandbox at the second attempt")
		}
		if t := c.init.streams.Terminal; t != nil {
			t.Detach()
		}
	}
}
