// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/urfave/cli/v2"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/transfer"
	"github.com/ateom/ateom/cmd/ctr-ateom/exit"
	"github.com/ateom/ateom/shim/config"
)

// Local is the name of the node's local store.
const Local = "local"

// StoreFlag selects the stores that a command looks at.
var StoreFlag = &cli.StringFlag{
	Name:  "store",
	Usage: "`NAME` of a store in the node's configuration, \"" + Local + "\", or a URL (default: the node's local store and its default store)",
}

// A Store is a place for snapshots.
type Store interface {
	// Name is "local", the configured name, or the URL.
	Name() string
	// List returns the manifests of all snapshots, oldest first. What could not
	// be read of a store comes as an error beside what could.
	List(ctx context.Context) ([]*artifacts.Manifest, error)
	// Get returns the manifest of one snapshot; errdefs.ErrNotFound if there is none.
	Get(ctx context.Context, id artifacts.ID) (*artifacts.Manifest, error)
	// Remove takes a snapshot away; errdefs.ErrNotFound if there is none.
	Remove(ctx context.Context, id artifacts.ID) error
	// Measure returns what each part of a snapshot takes in the store.
	Measure(ctx context.Context, m *artifacts.Manifest) ([]Measure, error)
	// Verify compares what the store has of a snapshot with its manifest; p may
	// be read meanwhile. The error is errdefs.ErrDataLoss and names what is damaged.
	Verify(ctx context.Context, id artifacts.ID, depth transfer.Depth, p *transfer.Meter) error
	// Sweep frees what no snapshot refers to.
	Sweep(ctx context.Context, o transfer.SweepOptions) (transfer.SweepReport, error)
	// Fsck reads all snapshots whole and returns the damaged ones; p may be read
	// meanwhile. What could not be read for another reason comes as an error too.
	Fsck(ctx context.Context, p *transfer.Meter) ([]transfer.Damage, error)
	// SetAside makes a damaged snapshot one no longer, and returns where what is
	// left of it can be found. No byte of it is deleted.
	SetAside(ctx context.Context, id artifacts.ID) (string, error)
}

// Stores is the list of places that a command looks at, in the order of looking.
type Stores []Store

// OpenStores opens what --store selects.
func OpenStores(ctx context.Context, c *cli.Context) (Stores, error) {
	cfg, err := Config(c)
	if err != nil {
		return nil, err
	}
	names := []string{c.String("store")}
	if names[0] == "" {
		names[0] = Local
		if cfg.DefaultStore != "" {
			names = append(names, cfg.DefaultStore)
		}
	}
	var stores Stores
	for _, name := range names {
		s, err := open(ctx, cfg, name)
		if err != nil {
			return nil, err
		}
		stores = append(stores, s)
	}
	return stores, nil
}

// OpenStore opens one store by name or URL.
func OpenStore(ctx context.Context, c *cli.Context, name string) (Store, error) {
	cfg, err := Config(c)
	if err != nil {
		return nil, err
	}
	return open(ctx, cfg, name)
}

// open opens one store by name or URL.
func open(ctx context.Context, cfg *config.Config, name string) (Store, error) {
	if strings.Contains(name, "://") {
		return openBucket(ctx, name, config.Store{URL: name})
	}
	if _, configured := cfg.Stores[name]; name == Local && !configured {
		return openLocal(cfg)
	}
	name, store, err := cfg.Store(name)
	if err != nil {
		return nil, exit.WithHint(err, `--store takes a configured name, "%s", or a URL such as s3://bucket?region=eu-central-1`, Local)
	}
	return openBucket(ctx, name, store)
}

// Names returns the stores' names, for messages.
func (ss Stores) Names() string {
	var names []string
	for _, s := range ss {
		names = append(names, s.Name())
	}
	return strings.Join(names, ", ")
}

// A Found snapshot is a manifest and the stores that have it.
type Found struct {
	Manifest *artifacts.Manifest
	In       Stores
}

// Find looks for a snapshot in all the stores.
func (ss Stores) Find(ctx context.Context, id artifacts.ID) (Found, error) {
	var f Found
	for _, s := range ss {
		m, err := s.Get(ctx, id)
		if errdefs.IsNotFound(err) {
			continue
		}
		if err != nil {
			return f, fmt.Errorf("read snapshot %s in %s: %w", id, s.Name(), err)
		}
		if f.Manifest == nil {
			f.Manifest = m
		}
		f.In = append(f.In, s)
	}
	if f.Manifest == nil {
		return f, exit.WithHint(fmt.Errorf("no snapshot %s in %s: %w", id, ss.Names(), errdefs.ErrNotFound),
			"list them with: ctr-ateom snapshots ls --store STORE")
	}
	return f, nil
}

// List returns the snapshots of all the stores, oldest first, each once. What
// could not be read comes as an error beside what could.
func (ss Stores) List(ctx context.Context) ([]Found, error) {
	byID := make(map[artifacts.ID]int)
	var found []Found
	var errs []error
	for _, s := range ss {
		manifests, err := s.List(ctx)
		if err != nil {
			errs = append(errs, fmt.Errorf("list snapshots in %s: %w", s.Name(), err))
		}
		for _, m := range manifests {
			i, ok := byID[m.ID]
			if !ok {
				i = len(found)
				byID[m.ID] = i
				found = append(found, Found{Manifest: m})
			}
			found[i].In = append(found[i].In, s)
		}
	}
	slices.SortFunc(found, func(a, b Found) int { return strings.Compare(string(a.Manifest.ID), string(b.Manifest.ID)) })
	return found, errors.Join(errs...)
}
