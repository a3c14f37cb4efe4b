// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/ateom/ateom/artifacts/cache"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/artifacts/local"
	"github.com/ateom/ateom/artifacts/transfer"
	"github.com/ateom/ateom/shim/config"
	"github.com/ateom/ateom/shim/sweep"
)

// A LocalStore is the node's own store.
type LocalStore struct {
	*local.Store
	cache job.Cache
	cfg   *config.Config
}

func openLocal(cfg *config.Config) (*LocalStore, error) {
	s, err := local.Open(cfg.StateDir)
	if err != nil {
		return nil, fmt.Errorf("open the node's local store: %w", err)
	}
	c, err := cfg.Cache()
	if err != nil {
		return nil, err
	}
	return &LocalStore{s, c, cfg}, nil
}

// Name implements Store.
func (s *LocalStore) Name() string { return Local }

// List implements Store.
func (s *LocalStore) List(context.Context) ([]*artifacts.Manifest, error) {
	snapshots, err := s.Store.List()
	manifests := make([]*artifacts.Manifest, 0, len(snapshots))
	for _, sn := range snapshots {
		manifests = append(manifests, sn.Manifest)
	}
	return manifests, err
}

// Get implements Store.
func (s *LocalStore) Get(_ context.Context, id artifacts.ID) (*artifacts.Manifest, error) {
	sn, err := s.Store.Get(id)
	if err != nil {
		return nil, err
	}
	return sn.Manifest, nil
}

// Remove implements Store.
func (s *LocalStore) Remove(_ context.Context, id artifacts.ID) error { return s.Store.Remove(id) }

// Verify implements Store. Whatever the depth it reads the image whole: a
// local disk is fast.
func (s *LocalStore) Verify(ctx context.Context, id artifacts.ID, _ transfer.Depth, p *transfer.Meter) error {
	sn, err := s.Store.Get(id)
	if err != nil {
		return err
	}
	_, err = transfer.VerifyLocal(ctx, sn.Dir, p)
	return err
}

// Sweep deletes what dead processes have left, but for DurableDirs, which it
// sets aside, and what the cache has too much; a grace has no meaning here.
func (s *LocalStore) Sweep(_ context.Context, o transfer.SweepOptions) (r transfer.SweepReport, err error) {
	left, err := s.Store.Sweep(local.SweepMode(!o.DryRun))
	for _, l := range left {
		r.Deleted = append(r.Deleted, l.Path)
		r.DeletedBytes += l.Bytes
	}
	if err != nil {
		return r, err
	}
	dead, err := sweep.Node(s.cfg, sweep.Mode(!o.DryRun))
	r.Deleted = append(r.Deleted, dead...)
	if err != nil {
		return r, err
	}
	c, err := cache.Open(filepath.Join(s.Dir(), cache.DirName), s.cache.Size)
	if err != nil {
		return r, err
	}
	evicted, kept, err := c.Trim(cache.TrimMode(!o.DryRun))
	for _, e := range evicted {
		r.Deleted = append(r.Deleted, cache.DirName+"/"+e.Digest.Hex())
		r.DeletedBytes += e.Size
	}
	r.Kept, r.KeptBytes = int64(kept.Objects), kept.Bytes
	return r, err
}

// Fsck reads all snapshots.
func (s *LocalStore) Fsck(ctx context.Context, p *transfer.Meter) ([]transfer.Damage, error) {
	return transfer.FsckLocal(ctx, s.Store, p)
}

// SetAside moves a snapshot's directory out of the store.
func (s *LocalStore) SetAside(_ context.Context, id artifacts.ID) (string, error) {
	return s.Store.SetAside(id)
}

// A BucketStore is a store in a bucket, or in a directory by file:// URL.
type BucketStore struct {
	bucket.Store
	name string
}

// openBucket opens a store. Its environment becomes the process's own: SDKs
// read their credentials from there, once.
func openBucket(ctx context.Context, name string, cfg config.Store) (*BucketStore, error) {
	s, err := transfer.OpenStore(ctx, cfg.Job(name))
	if err != nil {
		return nil, err // which names the store
	}
	return &BucketStore{s, name}, nil
}

// Name implements Store.
func (s *BucketStore) Name() string { return s.name }

// List implements Store.
func (s *BucketStore) List(ctx context.Context) ([]*artifacts.Manifest, error) {
	return transfer.List(ctx, s.Store)
}

// Get implements Store.
func (s *BucketStore) Get(ctx context.Context, id artifacts.ID) (*artifacts.Manifest, error) {
	return transfer.Get(ctx, s.Store, id)
}

// Remove implements Store.
func (s *BucketStore) Remove(ctx context.Context, id artifacts.ID) error {
	return transfer.Remove(ctx, s.Store, id)
}

// Verify implements Store.
func (s *BucketStore) Verify(ctx context.Context, id artifacts.ID, depth transfer.Depth, p *transfer.Meter) error {
	_, err := transfer.Verify(ctx, s.Store, id, depth, p)
	return err
}

// Sweep implements Store.
func (s *BucketStore) Sweep(ctx context.Context, o transfer.SweepOptions) (transfer.SweepReport, error) {
	return transfer.Sweep(ctx, s.Store, o)
}

// Fsck reads all snapshots.
func (s *BucketStore) Fsck(ctx context.Context, p *transfer.Meter) ([]transfer.Damage, error) {
	return transfer.Fsck(ctx, s.Store, p)
}

// SetAside moves a snapshot's manifest to where it is none.
func (s *BucketStore) SetAside(ctx context.Context, id artifacts.ID) (string, error) {
	return transfer.SetAside(ctx, s.Store, id)
}
