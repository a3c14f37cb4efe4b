// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/ateom/ateom/artifacts/local"
	"github.com/containerd/errdefs"
)

// A Damage is a snapshot that cannot be resumed, and why.
type Damage struct {
	ID  artifacts.ID
	Err error
}

// FsckLocal reads every snapshot of a node's store whole and compares it with
// its manifest. It changes nothing and may run beside anything; a snapshot that
// is removed meanwhile is passed over. What could not be found out, since a disk or store
// does not answer or the format is a later one, comes as an error beside the damage.
func FsckLocal(ctx context.Context, store *local.Store, p *Meter) ([]Damage, error) {
	ids, err := store.IDs()
	if err != nil {
		return nil, fmt.Errorf("check local store: %w", err)
	}
	var bad []Damage
	var unknown []error
	for _, id := range ids {
		_, err := VerifyLocal(ctx, store.SnapshotDir(id), p)
		switch {
		case ctx.Err() != nil:
			return bad, fmt.Errorf("check local store: %w", ctx.Err())
		case err == nil || !store.Has(id):
		case errors.Is(err, errdefs.ErrDataLoss):
			bad = append(bad, Damage{ID: id, Err: err})
		default:
			unknown = append(unknown, err)
		}
	}
	return bad, errors.Join(unknown...)
}

// Fsck is FsckLocal for a store.
func Fsck(ctx context.Context, s bucket.Store, p *Meter) ([]Damage, error) {
	var ids []artifacts.ID
	for info, err := range s.List(ctx, artifacts.SnapshotsPrefix) {
		if err != nil {
			return nil, fmt.Errorf("check store %s: %w", s, err)
		}
		if id, ok := artifacts.ManifestKeyID(info.Key); ok {
			ids = append(ids, id)
		}
	}
	var bad []Damage
	var unknown []error
	for _, id := range ids {
		_, err := Verify(ctx, s, id, Deep, p)
		if ctx.Err() != nil {
			return bad, fmt.Errorf("check store %s: %w", s, ctx.Err())
		}
		if errors.Is(err, errdefs.ErrDataLoss) {
			// Its objects may have been removed while they were read.
			if _, statErr := s.Stat(ctx, artifacts.ManifestKey(id)); !errors.Is(statErr, errdefs.ErrNotFound) {
				bad = append(bad, Damage{ID: id, Err: err})
			}
		} else if err != nil && !errors.Is(err, errdefs.ErrNotFound) {
			unknown = append(unknown, err)
		}
	}
	return bad, errors.Join(unknown...)
}

// SetAside moves the manifest of a damaged snapshot to artifacts.DamagedKey,
// which it returns: the snapshot is none any more and does not stop a Sweep, but
// what it refers to stays. It may be killed at any point and done again. The
// error is ErrDataLoss for a manifest whose bytes the store cannot give at all.
func SetAside(ctx context.Context, s bucket.Store, id artifacts.ID) (to string, err error) {
	from, to := artifacts.ManifestKey(id), artifacts.DamagedKey(id)
	data, err := bucket.ReadAll(ctx, s, from, artifacts.MaxManifestSize)
	if err == nil {
		err = s.Put(ctx, to, bytes.NewReader(data), int64(len(data)))
	}
	if err == nil {
		err = deleteObject(ctx, s, from)
	}
	if err != nil {
		return "", fmt.Errorf("set snapshot %s aside: %w", id, err)
	}
	return to, nil
}
