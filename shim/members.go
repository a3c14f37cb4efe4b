// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/durabledir"
	"github.com/ateom/ateom/shim/inside"
)

// A sandbox whose memory comes from a snapshot begins to run when the last of
// the snapshot's containers has been handed over: they come one after the
// other, and runsc needs all of them. Those that had ended before the snapshot
// was taken, a pod's init containers, are not run again.

// restoring says whether containers of the sandbox are still to come out of
// its origin's memory.
func (s *sandbox) restoring() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.origin != nil && s.origin.manifest.Scope == artifacts.Full && !s.origin.complete
}

// arrive notes that a container was handed over, and says whether it was the last.
func (o *origin) arrive(c *container, isRoot bool) bool {
	if o.arrived == nil {
		o.arrived = map[string]bool{}
	}
	if !isRoot {
		o.arrived[c.name] = true
	}
	o.complete = len(o.missing()) == 0
	return o.complete
}

// handOverGrace bounds how long the end of a container is kept back for the sake
// of a hand-over that failed: runsc tells why a moment after the sandbox has died.
const handOverGrace = 2 * time.Second

// handOver begins the hand-over of a container to the memory that it comes back
// with. If the sandbox dies of it, the ends of its containers are told when done
// is called: whoever hears of them deletes the sandbox, and nobody would hear why.
func (s *sandbox) handOver() (done func()) {
	over := make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handing = over
	return func() { close(over) }
}

// awaitHandOver waits for the end of a hand-over, if one is under way.
func (s *sandbox) awaitHandOver(ctx context.Context) {
	s.mu.Lock()
	over := s.handing
	s.mu.Unlock()
	if over == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, handOverGrace)
	defer cancel()
	select {
	case <-over:
	case <-ctx.Done():
	}
}

// missing are the names of the containers that are still to come.
func (o *origin) missing() []string {
	var names []string
	for i, c := range o.manifest.Sandbox.Containers {
		if i > 0 && !o.arrived[c.Name] {
			names = append(names, c.Name)
		}
	}
	return names
}

// isCompleted says whether the container had ended before the snapshot was taken.
func (o *origin) isCompleted(c *container) bool {
	return slices.Contains(o.manifest.Sandbox.Completed, c.name)
}

// checkMember refuses a container that is not the one that the snapshot holds
// under its name, and says what differs. runsc compares more than a manifest
// tells, and refuses what it finds.
func (o *origin) checkMember(c *container, mounts []string) error {
	m := o.manifest
	if m.Scope != artifacts.Full || o.complete || o.isCompleted(c) {
		return nil
	}
	i := slices.IndexFunc(m.Sandbox.Containers, func(was artifacts.Container) bool { return was.Name == c.name })
	if i <= 0 {
		return incompatible(m, "it has no container %q (it has: %s)", c.name, strings.Join(memberNames(m), ", "))
	}
	if o.arrived[c.name] {
		return incompatible(m, "container %q has come already and ended before the others did; delete the pod and make it anew", c.name)
	}
	if diff := differences(&m.Sandbox.Containers[i], c.spec, mounts); len(diff) > 0 {
		return incompatible(m, "container %q differs: %s", c.name, strings.Join(diff, "; "))
	}
	return nil
}

// memberNames are the names of a snapshot's containers but the root one.
func memberNames(m *artifacts.Manifest) []string {
	var names []string
	for i, c := range m.Sandbox.Containers {
		if i > 0 {
			names = append(names, c.Name)
		}
	}
	return names
}

// differences compares a container of a snapshot with the one that is to go on
// from it, and that is to have the mounts.
func differences(was *artifacts.Container, spec *specs.Spec, mounts []string) []string {
	var diff []string
	image, digest := imageOf(spec)
	switch {
	case was.ImageDigest != "" && digest != "":
		if was.ImageDigest != digest {
			diff = append(diff, fmt.Sprintf("its image was %s and is %s", was.ImageDigest, digest))
		}
	case was.Image != "" && image != "" && was.Image != image:
		diff = append(diff, fmt.Sprintf("its image was %s and is %s", was.Image, image))
	}
	if was.Args != nil && !slices.Equal(was.Args, spec.Process.Args) {
		diff = append(diff, fmt.Sprintf("its command was %q and is %q", was.Args, spec.Process.Args))
	}
	if was.Mounts == nil {
		return diff
	}
	for _, path := range was.Mounts {
		if !slices.Contains(mounts, path) {
			diff = append(diff, fmt.Sprintf("nothing is mounted at %s any more", path))
		}
	}
	for _, path := range mounts {
		if !slices.Contains(was.Mounts, path) {
			diff = append(diff, fmt.Sprintf("something is mounted at %s, where nothing was", path))
		}
	}
	return diff
}

// mountPoints are the places where a container has something mounted, sorted.
func mountPoints(spec *specs.Spec) []string {
	var paths []string
	for _, m := range spec.Mounts {
		paths = append(paths, m.Destination)
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// mountsToBe are the mountPoints that a container has when the shim has added
// its own.
func (s *sandbox) mountsToBe(c *container) []string {
	paths := mountPoints(c.spec)
	for _, d := range durabledir.ForContainer(c.decl.volumes, c.name) {
		if _, mounted := bindSource(c.spec.Mounts, d.MountPath); !mounted {
			paths = append(paths, d.MountPath)
		}
	}
	if s.tellsInside(c) {
		// What may be asked for, the first container says.
		asks := len(c.decl.self) > 0
		if root, err := s.container(s.id); err == nil {
			asks = len(root.decl.self) > 0
		}
		paths = append(paths, inside.Places(c.decl.inside, asks)...)
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// completedNames are the containers that have ended well, sorted.
func (s *sandbox) completedNames() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.completed))
}

// noteEnd remembers how a container has ended, for a snapshot that is taken later.
func (s *sandbox) noteEnd(c *container, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cri && !c.isRoot(s) && status == 0 {
		s.completed[c.name] = true
	}
}

// noteStarted forgets that a container of that name has ended.
func (s *sandbox) noteStarted(c *container) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.completed, c.name)
}

// errStillRestoring refuses a verb on a sandbox that does not run yet.
func (s *sandbox) errStillRestoring() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Errorf("sandbox %s is being restored from snapshot %s; containers that have not come yet: %s: %w",
		s.id, s.origin.manifest.ID, strings.Join(s.origin.missing(), ", "), errdefs.ErrFailedPrecondition)
}
