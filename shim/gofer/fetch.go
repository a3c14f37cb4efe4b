// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package gofer

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/runsc"
)

// A Fetching is a Fetch of which the manifest has come, and nothing else.
type Fetching struct {
	gofer    *Gofer
	manifest *artifacts.Manifest
	progress func(*job.Event)
}

// Ask begins a Fetch and returns when the snapshot's manifest has come. Close must
// be called; progress may be nil.
func Ask(ctx context.Context, binary string, starter runsc.Starter, r *job.Request, progress func(*job.Event)) (_ *Fetching, err error) {
	g, err := Start(ctx, binary, starter)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.Close())
		}
	}()
	asking := *r
	asking.Verb, asking.Ask = job.Fetch, true
	if err := g.Send(&asking); err != nil {
		return nil, err
	}
	shown, err := g.Await(job.Ready, progress)
	if err != nil {
		return nil, err
	}
	if shown.Manifest == nil {
		return nil, fmt.Errorf("the gofer has shown no manifest: %w", errdefs.ErrInternal)
	}
	return &Fetching{gofer: g, manifest: shown.Manifest, progress: progress}, nil
}

// Manifest is the snapshot's.
func (f *Fetching) Manifest() *artifacts.Manifest { return f.manifest }

// Bring brings the rest of what was asked for. An empty volume that it could not
// fill is empty again.
func (f *Fetching) Bring() (*job.Event, error) {
	if err := f.gofer.Send(&job.Request{Verb: job.Bring}); err != nil {
		return nil, err
	}
	return f.gofer.Await(job.Done, f.progress)
}

// Close ends the Fetch, whether all has come or not.
func (f *Fetching) Close() error { return f.gofer.Close() }
