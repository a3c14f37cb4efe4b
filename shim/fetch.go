// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/log"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/shim/config"
	"github.com/ateom/ateom/shim/gofer"
)

// What a sandbox starts from comes out of its store while its root container is made:
// runsc reads nothing of the memory, and looks into no volume, before it is told to start
// the container, and nothing is mounted in a DurableDir whose place it would have to make there.
// What comes before both is the manifest: it says which build of runsc it must be, and
// is compared with the container.

// A fetching is the fetch of what a sandbox starts from, behind its manifest.
type fetching struct {
	ended chan struct{}
	err   error // once it has ended
}

// fetches says whether a container with those new volumes needs something from a store.
func (s *sandbox) fetches(first bool, fresh []job.Volume) bool {
	return s.origin != nil && !s.origin.local && (first || len(fresh) > 0)
}

// fetchOrigin begins to bring the snapshot's local side and to fill the root container's
// volumes, which are empty directories by now. It returns when the manifest has come; a
// snapshot that could not be used here is refused then. What undo is added ends the rest.
func (s *sandbox) fetchOrigin(ctx context.Context, c *container, volumes []job.Volume, undo *undoList) (*fetching, error) {
	o := s.origin
	o.volumes = o.manifest.ID
	request := &job.Request{Dir: o.dir, ID: o.volumes, Volumes: volumes}
	if c.decl.golden != "" {
		request = &job.Request{Dir: o.dir, ID: c.decl.golden, Scope: artifacts.Full}
	}
	ctx, stop := context.WithCancel(ctx)
	asked, err := s.ask(ctx, request)
	if err != nil {
		stop()
		return nil, err
	}
	if err := s.checkOrigin(ctx, c, asked.Manifest()); err != nil {
		stop()
		return nil, s.fetchError(request.ID, errors.Join(err, asked.Close()))
	}
	o.manifest = asked.Manifest()
	s.markRestore("manifest")
	f := &fetching{ended: make(chan struct{})}
	undo.add("end the fetch", func(context.Context) error {
		stop()
		<-f.ended
		return nil
	})
	go func() {
		defer close(f.ended)
		defer stop()
		f.err = s.bring(ctx, asked)
		if f.err == nil && c.decl.golden != "" {
			f.err = s.fetchVolumes(ctx, volumes)
		}
	}()
	return f, nil
}

// awaitFetch waits until all has come; f is nil if nothing is fetched.
func (s *sandbox) awaitFetch(f *fetching) error {
	if f == nil {
		return nil
	}
	<-f.ended // its gofer ends with the verb at the latest
	if f.err == nil {
		s.markRestore("fetch")
	}
	return f.err
}

// fetchVolumes fills volumes alone, from the snapshot that has them.
func (s *sandbox) fetchVolumes(ctx context.Context, volumes []job.Volume) error {
	asked, err := s.ask(ctx, &job.Request{ID: s.origin.volumes, Volumes: volumes, Scope: artifacts.Data})
	if err != nil {
		return err
	}
	return s.bring(ctx, asked)
}

// fillVolumes fills volumes that came with another container than the root one.
func (s *sandbox) fillVolumes(ctx context.Context, volumes []job.Volume) error {
	if s.ledger != nil {
		return s.fillPodVolumes(ctx, volumes)
	}
	return s.fetchVolumes(ctx, volumes)
}

// ask begins a Fetch from the origin's store and returns when the manifest has come.
func (s *sandbox) ask(ctx context.Context, r *job.Request) (*gofer.Fetching, error) {
	r.Cache = s.cache(ctx)
	r.Store, r.Lazy = s.origin.store, s.checkpointIO(ctx) == config.Gofer
	binary, err := s.cfg.GoferPath()
	if err != nil {
		return nil, err
	}
	asked, err := gofer.Ask(ctx, binary, s.starter, r, s.noteProgress)
	if err != nil {
		return nil, s.fetchError(r.ID, err)
	}
	return asked, nil
}

// bring ends a Fetch that has begun.
func (s *sandbox) bring(ctx context.Context, asked *gofer.Fetching) error {
	defer s.setProgress(nil)
	defer asked.Close()
	id := asked.Manifest().ID
	done, err := asked.Bring()
	if err != nil {
		return s.fetchError(id, err)
	}
	for _, w := range done.Warnings {
		log.G(ctx).WithField("snapshot", id).Warn(w)
	}
	return nil
}

func (s *sandbox) fetchError(id artifacts.ID, err error) error {
	return fmt.Errorf("fetch snapshot %s: %w", id, s.adviseOnFull(err))
}
