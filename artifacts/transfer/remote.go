// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"errors"
	"fmt"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"
)

// readersOfManifests is how many manifests List reads at a time.
const readersOfManifests = 16

// List returns the manifests of the snapshots in s, oldest first. Snapshots
// that cannot be read are left out; the error then names them all, and the
// manifests are good all the same.
func List(ctx context.Context, s bucket.Store) ([]*artifacts.Manifest, error) {
	var ids []artifacts.ID
	for info, err := range s.List(ctx, artifacts.SnapshotsPrefix) {
		if err != nil {
			return nil, fmt.Errorf("list snapshots: %w", err)
		}
		if id, ok := artifacts.ManifestKeyID(info.Key); ok {
			ids = append(ids, id)
		}
	}
	manifests := make([]*artifacts.Manifest, len(ids))
	bad := make([]error, len(ids))
	var group errgroup.Group
	group.SetLimit(readersOfManifests)
	for i, id := range ids {
		group.Go(func() error {
			manifests[i], bad[i] = Get(ctx, s, id)
			if errors.Is(bad[i], errdefs.ErrNotFound) {
				bad[i] = nil // removed meanwhile
			}
			return nil
		})
	}
	_ = group.Wait()
	var all []*artifacts.Manifest
	for _, m := range manifests {
		if m != nil {
			all = append(all, m)
		}
	}
	return all, errors.Join(bad...)
}
