// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/artifacts/local"
	"github.com/ateom/ateom/shim/config"
	"github.com/ateom/ateom/shim/gofer"
	"github.com/ateom/ateom/shim/sandboxid"
)

// An origin is the snapshot that a new sandbox starts from.
type origin struct {
	// Its memory comes from there if its scope is Full.
	manifest *artifacts.Manifest
	// volumes is the snapshot that the DurableDirs come from; another one than
	// the memory's if that is golden.
	volumes artifacts.ID
	// dir holds the snapshot's local side: all of it, or what Fetch brought.
	dir string
	// local says that dir belongs to the node's store.
	local bool
	// slept is the snapshot that the pod slept in when its sandbox was lost; nil
	// if the origin is another one.
	slept *local.Snapshot
	// volumesPresent says that the DurableDirs have their content already.
	volumesPresent bool
	// lent says that the DurableDirs belong to the snapshot still, because nothing has come
	// to run from it. Guarded by the sandbox's verb.
	lent bool
	// store has the pages that dir lacks.
	store job.Store
	// arrived are the containers that have come so far, but the root one;
	// complete says that all have. Guarded by the sandbox's verb and mu.
	arrived  map[string]bool
	complete bool
	// release gives up dir.
	release func()
}

// image is where the containers are restored from.
func (o *origin) image() image { return image{manifest: o.manifest, dir: o.dir, store: o.store} }

// isToRestore says whether the root container is to start from a snapshot, which
// chooseOrigin finds.
func (s *sandbox) isToRestore(c *container, checkpoint string) bool {
	switch l := s.ledger; {
	case l != nil && l.Paused != "":
		return true // kubelet brings a pod back whose sandbox was lost while it slept
	case l != nil && l.Begun:
		return false
	default:
		return c.decl.restoreFrom != "" || checkpoint != ""
	}
}

// chooseOrigin finds the snapshot that the root container is to start from, if
// any: one of the node's own, or one in a store. Nothing is fetched yet.
func (s *sandbox) chooseOrigin(ctx context.Context, c *container, checkpoint string) error {
	if !s.isToRestore(c, checkpoint) {
		return nil
	}
	id := c.decl.restoreFrom
	if s.ledger != nil && s.ledger.Paused != "" {
		id, checkpoint = s.ledger.Paused, ""
		snap, err := s.local.Get(id)
		if err != nil {
			return fmt.Errorf("bring the paused pod %s/%s back: %w", s.pod.Namespace, s.pod.Name, err)
		}
		s.origin = &origin{manifest: snap.Manifest, dir: snap.Dir, local: true, slept: snap, release: s.use(id)}
		return s.checkOrigin(ctx, c, snap.Manifest)
	}
	if id != "" && c.decl.store == "" && checkpoint == "" && c.decl.golden == "" {
		snap, err := s.local.Get(id)
		if err == nil {
			if err := s.mayRead(snap.Manifest); err != nil {
				return err
			}
			s.origin = &origin{manifest: snap.Manifest, dir: snap.Dir, local: true, release: s.use(id)}
			return s.checkOrigin(ctx, c, snap.Manifest)
		}
		if !errors.Is(err, errdefs.ErrNotFound) {
			return err
		}
	}
	// What is fetched is never published here: it is a draft as long as it lives.
	draft, err := s.local.NewDraft(artifacts.NewID(time.Now()))
	if err != nil {
		return fmt.Errorf("start from a snapshot: %w", s.adviseOnFull(err))
	}
	o := &origin{dir: draft.Dir()}
	o.release = func() {
		if err := draft.Abort(); err != nil {
			log.G(ctx).WithError(err).Warn("remove a fetched snapshot")
		}
	}
	s.origin = o
	if checkpoint != "" {
		// What Checkpoint wrote for containerd is a store with one snapshot.
		o.store = job.Store{URL: fileURL(checkpoint)}
		var err error
		if id, err = onlySnapshot(checkpoint); err != nil {
			return fmt.Errorf("start from a checkpoint: %w", err)
		}
	} else {
		name, st, err := s.store(c.decl.store)
		if err != nil {
			return fmt.Errorf("start from snapshot %s: %w", id, err)
		}
		o.store = st.Job(name)
	}
	o.manifest = &artifacts.Manifest{ID: id}
	return nil
}

// fetches says whether a container with those new volumes needs something from a store.
func (s *sandbox) fetches(first bool, fresh []job.Volume) bool {
	return s.origin != nil && !s.origin.local && (first || len(fresh) > 0)
}

// fetchOrigin brings the snapshot's local side and fills the root container's
// volumes, which are empty directories by now. A snapshot that could not be
// used here is refused when its manifest has come, and nothing else.
func (s *sandbox) fetchOrigin(ctx context.Context, c *container, volumes []job.Volume) error {
	o := s.origin
	o.volumes = o.manifest.ID
	request := &job.Request{Dir: o.dir, ID: o.volumes, Volumes: volumes}
	if c.decl.golden != "" {
		request = &job.Request{Dir: o.dir, ID: c.decl.golden, Scope: artifacts.Full}
	}
	m, err := s.fetch(ctx, request, func(m *artifacts.Manifest) error { return s.checkOrigin(ctx, c, m) })
	if err != nil {
		return err
	}
	o.manifest = m
	if c.decl.golden == "" {
		return nil
	}
	return s.fetchVolumes(ctx, volumes)
}

// fetchVolumes fills volumes alone, from the snapshot that has them.
func (s *sandbox) fetchVolumes(ctx context.Context, volumes []job.Volume) error {
	whatever := func(*artifacts.Manifest) error { return nil }
	_, err := s.fetch(ctx, &job.Request{ID: s.origin.volumes, Volumes: volumes, Scope: artifacts.Data}, whatever)
	return err
}

// fillVolumes fills volumes that came with another container than the root one.
func (s *sandbox) fillVolumes(ctx context.Context, volumes []job.Volume) error {
	if s.ledger != nil {
		return s.fillPodVolumes(ctx, volumes)
	}
	return s.fetchVolumes(ctx, volumes)
}

// fetch runs a Fetch from the origin's store, unless check refuses the manifest,
// which it returns.
func (s *sandbox) fetch(ctx context.Context, r *job.Request, check func(*artifacts.Manifest) error) (*artifacts.Manifest, error) {
	r.Cache = s.cache(ctx)
	r.Store, r.Lazy = s.origin.store, s.checkpointIO(ctx) == config.Gofer
	binary, err := s.cfg.GoferPath()
	if err != nil {
		return nil, err
	}
	defer s.setProgress(nil)
	done, err := gofer.Fetch(ctx, binary, s.starter, r, check, s.noteProgress)
	if err != nil {
		return nil, fmt.Errorf("fetch snapshot %s: %w", r.ID, s.adviseOnFull(err))
	}
	for _, w := range done.Warnings {
		log.G(ctx).WithField("snapshot", r.ID).Warn(w)
	}
	return done.Manifest, nil
}

// checkOrigin refuses a snapshot that the root container cannot start from, with
// what differs. runsc compares more than a manifest tells, and refuses what it
// finds.
func (s *sandbox) checkOrigin(ctx context.Context, c *container, m *artifacts.Manifest) error {
	_, digest := imageOf(c.spec)
	if err := s.checkCompatible(ctx, m, digest); err != nil {
		return err
	}
	was := m.Sandbox.Containers
	// A pod's root container is containerd's own: nobody chooses what is in it.
	if m.Scope != artifacts.Full || len(was) == 0 || s.cri {
		return nil
	}
	if diff := differences(&was[0], c.spec, s.mountsToBe(c)); len(diff) > 0 {
		return incompatible(m, "container %q differs: %s", c.name, strings.Join(diff, "; "))
	}
	if len(was) > 1 && c.spec.Annotations[sandboxid.GroupAnnotation] == "" {
		return incompatible(m, "it has %d containers, and %q is to be the only one of its sandbox; give it and %s the same annotation %s",
			len(was), c.id, strings.Join(memberNames(m), ", "), sandboxid.GroupAnnotation)
	}
	return nil
}

// fileURL returns the URL of a store in a directory.
func fileURL(dir string) string { return (&url.URL{Scheme: "file", Path: dir}).String() }
