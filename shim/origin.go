// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/artifacts/local"
	"github.com/ateom/ateom/shim/config"
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
func (o *origin) image() image { return image{dir: o.dir, store: o.store} }

// chooseOrigin finds the snapshot that the root container is to start from, if
// any: one of the node's own, or one in a store. Nothing is fetched yet.
func (s *sandbox) chooseOrigin(ctx context.Context, c *container, checkpoint string) error {
	id := c.decl.restoreFrom
	if s.ledger != nil && s.ledger.Paused != "" {
		// Kubelet brings a pod back whose sandbox was lost while it slept.
		id, checkpoint = s.ledger.Paused, ""
		snap, err := s.local.Get(id)
		if err != nil {
			return fmt.Errorf("bring the paused pod %s/%s back: %w", s.pod.Namespace, s.pod.Name, err)
		}
		s.origin = &origin{manifest: snap.Manifest, dir: snap.Dir, local: true, slept: snap, release: s.use(id)}
		return s.checkOrigin(ctx, c.spec)
	}
	if id == "" && checkpoint == "" || s.ledger != nil && s.ledger.Begun {
		return nil
	}
	if id != "" && c.decl.store == "" && checkpoint == "" && c.decl.golden == "" {
		snap, err := s.local.Get(id)
		if err == nil {
			if err := s.mayRead(snap.Manifest); err != nil {
				return err
			}
			s.origin = &origin{manifest: snap.Manifest, dir: snap.Dir, local: true, release: s.use(id)}
			return s.checkOrigin(ctx, c.spec)
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

// fetchOrigin brings the snapshot's local side and fills the root container's
// volumes, which are empty directories by now. A snapshot that could not be
// used here is refused before pages move.
func (s *sandbox) fetchOrigin(ctx context.Context, c *container, volumes []job.Volume) error {
	o := s.origin
	if o == nil || o.local {
		return nil
	}
	o.volumes = o.manifest.ID
	request := &job.Request{Dir: o.dir, ID: o.manifest.ID, Volumes: volumes}
	if c.decl.golden != "" {
		request.Scope = artifacts.Data
	}
	if err := s.fetch(ctx, request); err != nil {
		return err
	}
	if c.decl.golden != "" {
		if err := s.fetch(ctx, &job.Request{Dir: o.dir, ID: c.decl.golden, Scope: artifacts.Full}); err != nil {
			return err
		}
	}
	return s.checkOrigin(ctx, c.spec)
}

// fillVolumes fills volumes that came with another container than the root one.
func (s *sandbox) fillVolumes(ctx context.Context, volumes []job.Volume) error {
	o := s.origin
	if o == nil || o.local {
		return nil
	}
	if s.ledger != nil {
		volumes = slices.DeleteFunc(volumes, func(v job.Volume) bool { return s.ledger.IsFilled(v.Name) })
	}
	if len(volumes) == 0 {
		return nil
	}
	manifest := o.manifest
	defer func() { o.manifest = manifest }()
	if err := s.fetch(ctx, &job.Request{ID: o.volumes, Volumes: volumes, Scope: artifacts.Data}); err != nil {
		return err
	}
	if s.ledger == nil {
		return nil
	}
	for _, v := range volumes {
		s.ledger.Filled = append(s.ledger.Filled, v.Name)
	}
	return s.ledger.Write()
}

// fetch runs a Fetch from the origin's store; what it brings becomes the
// origin's manifest.
func (s *sandbox) fetch(ctx context.Context, r *job.Request) error {
	o := s.origin
	r.Cache = s.cache(ctx)
	r.Verb, r.Store, r.Lazy = job.Fetch, o.store, s.checkpointIO(ctx) == config.Gofer
	done, err := s.job(ctx, r)
	if err != nil {
		return fmt.Errorf("fetch snapshot %s: %w", r.ID, s.adviseOnFull(err))
	}
	if done.Manifest == nil {
		return fmt.Errorf("fetch snapshot %s: the gofer brought no manifest: %w", r.ID, errdefs.ErrInternal)
	}
	for _, w := range done.Warnings {
		log.G(ctx).WithField("snapshot", r.ID).Warn(w)
	}
	o.manifest = done.Manifest
	return nil
}

func (s *sandbox) checkOrigin(ctx context.Context, spec *specs.Spec) error {
	_, digest := imageOf(spec)
	return s.checkCompatible(ctx, s.origin.manifest, digest)
}

// fileURL returns the URL of a store in a directory.
func fileURL(dir string) string { return (&url.URL{Scheme: "file", Path: dir}).String() }
