// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/shim/config"
)

// An origin is the snapshot that a new sandbox starts from.
type origin struct {
	manifest *artifacts.Manifest
	// dir holds the snapshot's local side: all of it, or what Fetch brought.
	dir string
	// local says that dir belongs to the node's store.
	local bool
	// volumesPresent says that the DurableDirs have their content already.
	volumesPresent bool
	// store has the pages that dir lacks.
	store job.Store
	// release gives up dir.
	release func()
}

// image is where the containers are restored from.
func (o *origin) image() image { return image{dir: o.dir, store: o.store} }

// chooseOrigin finds the snapshot that the root container is to start from, if
// any: one of the node's own, or one in a store. Nothing is fetched yet.
func (s *sandbox) chooseOrigin(ctx context.Context, c *container, checkpoint string) error {
	id := c.decl.restoreFrom
	if id == "" && checkpoint == "" {
		return nil
	}
	if id != "" && c.decl.store == "" && checkpoint == "" {
		snap, err := s.local.Get(id)
		if err == nil {
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
		return fmt.Errorf("start from a snapshot: %w", err)
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
		entries, err := os.ReadDir(filepath.Join(checkpoint, "snapshots"))
		if err != nil || len(entries) != 1 {
			return fmt.Errorf("start from checkpoint %s: it is not one that this runtime made (%v): %w", checkpoint, err, errdefs.ErrInvalidArgument)
		}
		if id, err = artifacts.ParseID(entries[0].Name()); err != nil {
			return fmt.Errorf("start from checkpoint %s: %w: %w", checkpoint, err, errdefs.ErrInvalidArgument)
		}
	} else {
		name, st, err := s.cfg.Store(c.decl.store)
		if err != nil {
			return fmt.Errorf("start from snapshot %s: %w", id, err)
		}
		o.store = job.Store{Name: name, URL: st.URL, Env: st.Env}
	}
	o.manifest = &artifacts.Manifest{ID: id}
	return nil
}

// fetchOrigin brings the snapshot's local side and fills the DurableDirs, which
// are empty directories by now. A snapshot that could not be used here is
// refused before pages move.
func (s *sandbox) fetchOrigin(ctx context.Context, c *container) error {
	o := s.origin
	if o == nil || o.local {
		return nil
	}
	request := &job.Request{
		Verb: job.Fetch, Dir: o.dir, Store: o.store, ID: o.manifest.ID, Volumes: s.volumeList(),
		Lazy: s.cfg.CheckpointIO == config.Gofer,
	}
	done, err := s.job(ctx, request)
	if err != nil {
		return fmt.Errorf("fetch snapshot %s: %w", o.manifest.ID, err)
	}
	if done.Manifest == nil {
		return fmt.Errorf("fetch snapshot %s: the gofer brought no manifest: %w", o.manifest.ID, errdefs.ErrInternal)
	}
	o.manifest = done.Manifest
	return s.checkOrigin(ctx, c.spec)
}

func (s *sandbox) checkOrigin(ctx context.Context, spec *specs.Spec) error {
	_, digest := imageOf(spec)
	return s.checkCompatible(ctx, s.origin.manifest, digest)
}

// fileURL returns the URL of a store in a directory.
func fileURL(dir string) string { return (&url.URL{Scheme: "file", Path: dir}).String() }
