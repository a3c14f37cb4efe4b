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
