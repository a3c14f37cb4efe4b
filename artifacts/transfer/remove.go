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
	"github.com/containerd/errdefs"
)

// Remove takes a snapshot out of s. Its manifest goes first, so nobody sees
// half of it; a copy stays in the trash and keeps what commits under way may
// refer to until a Sweep finds it old. Then its volumes go; packs are left to Sweep. A
// manifest that cannot be decoded is removed all the same. The error is ErrNotFound
// where there is none; after any other error Remove may be called again.
func Remove(ctx context.Context, s bucket.Store, id artifacts.ID) error {
	if _, err := artifacts.ParseID(string(id)); err != nil {
		return fmt.Errorf("remove snapshot: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	key := artifacts.ManifestKey(id)
	data, err := bucket.ReadAll(ctx, s, key, artifacts.MaxManifestSize)
	switch {
	case errors.Is(err, errdefs.ErrNotFound):
		return fmt.Errorf("remove snapshot %s: not in store %s: %w", id, s, errdefs.ErrNotFound)
	case err != nil && !errors.Is(err, errdefs.ErrDataLoss):
		return fmt.Errorf("remove snapshot %s: %w", id, err)
	}
	if _, decodeErr := artifacts.DecodeManifest(data); err == nil && decodeErr == nil {
		if err := s.Put(ctx, artifacts.TrashKey(id), bytes.NewReader(data), int64(len(data))); err != nil {
			return fmt.Errorf("remove snapshot %s: %w", id, err)
		}
	}
	if err := deleteObject(ctx, s, key); err != nil {
		return fmt.Errorf("remove snapshot %s: %w", id, err)
	}
	for info, err := range s.List(ctx, artifacts.SnapshotPrefix(id)) {
		if err == nil {
			err = deleteObject(ctx, s, info.Key)
		}
		if err != nil {
			return fmt.Errorf("remove snapshot %s: it is gone, but not all of its bytes, which a sweep will free: %w", id, err)
		}
	}
	return nil
}

// deleteObject deletes what may be gone already.
func deleteObject(ctx context.Context, s bucket.Store, key string) error {
	if err := s.Delete(ctx, key); err != nil && !errors.Is(err, errdefs.ErrNotFound) {
		return err
	}
	return nil
}
