// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/containerd/errdefs"
)

// DefaultGrace is how long a Sweep spares what nothing refers to, twice
// MaxCommit: room for clocks that differ.
const DefaultGrace = 2 * MaxCommit

// SweepOptions shape a Sweep.
type SweepOptions struct {
	// Grace is the age below which nothing is deleted. Less than DefaultGrace,
	// which 0 means, is safe only while nobody commits into the store.
	Grace time.Duration
	// Now is the time, by the store's clock; zero means this node's.
	Now time.Time
	// DryRun only reports.
	DryRun bool
}

// A SweepReport says what a Sweep has deleted, or would have.
type SweepReport struct {
	// Deleted are the keys of the objects, DeletedBytes their sizes.
	Deleted      []string
	DeletedBytes int64
	// Kept counts the objects that stay.
	Kept      int64
	KeptBytes int64
}

// Sweep deletes the packs, recipes and pieces of unfinished commits that no
// snapshot refers to and that are older than the grace.
//
// It is safe beside commits on other nodes and may be killed at any point. A
// commit takes at most MaxCommit and refers to two kinds of packs: those that
// it has sent itself, or found young enough, which are younger than the grace
// when it ends; and those of its parent, whose manifest was there when it began, and is now, or is in the
// trash and younger than the grace. A manifest that cannot be read stops the
// sweep: nobody knows what it refers to.
func Sweep(ctx context.Context, s bucket.Store, o SweepOptions) (SweepReport, error) {
	report, err := sweep(ctx, s, o)
	if err != nil {
		return report, fmt.Errorf("sweep store %s: %w", s, err)
	}
	return report, nil
}

func sweep(ctx context.Context, s bucket.Store, o SweepOptions) (SweepReport, error) {
	if o.Grace == 0 {
		o.Grace = DefaultGrace
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	sw := &sweeper{
		store: s, options: o, before: o.Now.Add(-o.Grace),
		snapshots: map[artifacts.ID]bool{}, recipes: map[artifacts.Digest]bool{}, packs: map[artifacts.Digest]bool{},
	}
	// The order matters: what a commit publishes after its manifest was not
	// listed is too young to be deleted below.
	if err := sw.mark(ctx); err != nil {
		return sw.report, err
	}
	for _, step := range []struct {
		prefix string
		keep   func(key string) bool
	}{
		{artifacts.PacksPrefix, func(key string) bool { return refersTo(sw.packs, key, artifacts.PacksPrefix) }},
		{artifacts.RecipesPrefix, func(key string) bool { return refersTo(sw.recipes, key, artifacts.RecipesPrefix) }},
		{artifacts.SnapshotsPrefix, sw.keepSnapshotObject},
		// Last: what is in the trash has protected the packs until now.
		{artifacts.TrashPrefix, func(key string) bool { _, ok := artifacts.TrashKeyID(key); return !ok }},
	} {
		if err := sw.delete(ctx, step.prefix, step.keep); err != nil {
			return sw.report, err
		}
	}
	return sw.report, nil
}

// A sweeper is one Sweep.
type sweeper struct {
	store   bucket.Store
	options SweepOptions
	before  time.Time // older than this is old
	report  SweepReport

	snapshots map[artifacts.ID]bool
	recipes   map[artifacts.Digest]bool
	packs     map[artifacts.Digest]bool
}

// mark finds out what is referred to.
func (sw *sweeper) mark(ctx context.Context) error {
	for info, err := range sw.store.List(ctx, artifacts.SnapshotsPrefix) {
		if err != nil {
			return err
		}
		id, ok := artifacts.ManifestKeyID(info.Key)
		if !ok {
			continue
		}
		m, err := Get(ctx, sw.store, id)
		if errors.Is(err, errdefs.ErrNotFound) {
			continue // removed meanwhile: it is in the trash, which is listed next
		}
		if err != nil {
			return err
		}
		sw.snapshots[id] = true
		if err := sw.markParts(ctx, m); err != nil {
			return err
		}
	}
	if err := sw.markDamaged(ctx); err != nil {
		return err
	}
	return sw.markTrash(ctx)
}

func (sw *sweeper) markTrash(ctx context.Context) error {
	for info, err := range sw.store.List(ctx, artifacts.TrashPrefix) {
		if err != nil {
			return err
		}
		if _, ok := artifacts.TrashKeyID(info.Key); !ok || info.ModTime.Before(sw.before) {
			continue
		}
		m, err := readManifest(ctx, sw.store, info.Key)
		if errors.Is(err, errdefs.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if err := sw.markParts(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// markDamaged protects what is left of snapshots that were set aside, as far
// as it can be known: somebody may want to rescue it.
func (sw *sweeper) markDamaged(ctx context.Context) error {
	for info, err := range sw.store.List(ctx, artifacts.DamagedPrefix) {
		if err != nil {
			return err
		}
		id, ok := artifacts.DamagedKeyID(info.Key)
		if !ok {
			continue
		}
		sw.snapshots[id] = true
		m, err := readManifest(ctx, sw.store, info.Key)
		if errors.Is(err, errdefs.ErrNotFound) || errors.Is(err, errdefs.ErrDataLoss) {
			continue
		}
		if err != nil {
			return err
		}
		for _, p := range m.Parts {
			if err := sw.markPart(ctx, p); err != nil && !errors.Is(err, errdefs.ErrDataLoss) {
				return fmt.Errorf("snapshot %s: %w", id, err)
			}
		}
	}
	return nil
}

// readManifest reads a manifest that is not at its snapshot's key.
func readManifest(ctx context.Context, s bucket.Store, key string) (*artifacts.Manifest, error) {
	data, err := bucket.ReadAll(ctx, s, key, artifacts.MaxManifestSize)
	if err != nil {
		return nil, err
	}
	m, err := artifacts.DecodeManifest(data)
	if err != nil && !errors.Is(err, errdefs.ErrNotImplemented) {
		err = fmt.Errorf("%w: %v", errdefs.ErrDataLoss, err)
	}
	if err != nil {
		return nil, fmt.Errorf("object %s: %w", key, err)
	}
	return m, nil
}

func (sw *sweeper) markParts(ctx context.Context, m *artifacts.Manifest) error {
	for _, p := range m.Parts {
		if err := sw.markPart(ctx, p); err != nil {
			return fmt.Errorf("snapshot %s: %w", m.ID, err)
		}
	}
	return nil
}

func (sw *sweeper) markPart(ctx context.Context, p artifacts.Part) error {
	if p.Encoding != artifacts.Chunks || sw.recipes[p.StoredDigest] {
		return nil
	}
	sw.recipes[p.StoredDigest] = true
	r, err := GetRecipe(ctx, sw.store, p)
	if err != nil {
		return err
	}
	for _, pk := range r.Packs() {
		sw.packs[pk.Digest] = true
	}
	return nil
}

func refersTo(set map[artifacts.Digest]bool, key, prefix string) bool {
	d, ok := artifacts.ContentKeyDigest(key, prefix)
	return !ok || set[d] // what is none of ours is left alone
}

// keepSnapshotObject keeps the objects of published snapshots.
func (sw *sweeper) keepSnapshotObject(key string) bool {
	n := len(artifacts.SnapshotsPrefix) + idLength
	if len(key) <= n || key[n] != '/' {
		return true
	}
	id, err := artifacts.ParseID(key[len(artifacts.SnapshotsPrefix):n])
	return err != nil || sw.snapshots[id]
}

// idLength is the length of every snapshot id.
const idLength = 26

// delete deletes the old objects below prefix that keep does not keep.
func (sw *sweeper) delete(ctx context.Context, prefix string, keep func(key string) bool) error {
	for info, err := range sw.store.List(ctx, prefix) {
		if err != nil {
			return err
		}
		if keep(info.Key) || !info.ModTime.Before(sw.before) {
			sw.report.Kept++
			sw.report.KeptBytes += info.Size
			continue
		}
		if !sw.options.DryRun {
			gone, err := sw.deleteIfOld(ctx, info.Key)
			if err != nil {
				return err
			}
			if !gone {
				sw.report.Kept++
				sw.report.KeptBytes += info.Size
				continue
			}
		}
		sw.report.Deleted = append(sw.report.Deleted, info.Key)
		sw.report.DeletedBytes += info.Size
	}
	return nil
}

// deleteIfOld looks once more: a commit may have written the same pack again
// since the store was listed.
func (sw *sweeper) deleteIfOld(ctx context.Context, key string) (gone bool, err error) {
	info, err := sw.store.Stat(ctx, key)
	if errors.Is(err, errdefs.ErrNotFound) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	if !info.ModTime.Before(sw.before) {
		return false, nil
	}
	return true, deleteObject(ctx, sw.store, key)
}
