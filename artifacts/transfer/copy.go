// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"
)

// copiesInFlight bounds the packs, and by that the memory, of a Copy.
const copiesInFlight = 4

// Copy puts a snapshot of one store into another, its objects unchanged. Every
// object is compared with its name or the manifest on the way; the manifest
// comes last. p counts the bytes as they are stored. The error is ErrAlreadyExists if to has the snapshot.
func Copy(ctx context.Context, from, to bucket.Store, id artifacts.ID, p *Meter) (*artifacts.Manifest, error) {
	m, err := Get(ctx, from, id)
	if err != nil {
		return nil, err
	}
	if err := copySnapshot(ctx, from, to, m, p); err != nil {
		return nil, fmt.Errorf("copy snapshot %s to store %s: %w", id, to, err)
	}
	return m, nil
}

func copySnapshot(ctx context.Context, from, to bucket.Store, m *artifacts.Manifest, p *Meter) error {
	started := time.Now()
	key := artifacts.ManifestKey(m.ID)
	if _, err := to.Stat(ctx, key); !errors.Is(err, errdefs.ErrNotFound) {
		if err == nil {
			err = fmt.Errorf("it is there: %w", errdefs.ErrAlreadyExists)
		}
		return err
	}
	p.begin("copy")
	copied := map[artifacts.Digest]bool{}
	sender := &packSender{store: to}
	for _, part := range m.Parts {
		var err error
		if part.Encoding == artifacts.Chunks {
			err = copyChunked(ctx, from, sender, part, copied, p)
		} else {
			err = copyVolume(ctx, from, to, m.ID, part, p)
		}
		if err != nil {
			return fmt.Errorf("part %q: %w", part.Name, err)
		}
	}
	data, err := artifacts.EncodeManifest(m)
	if err != nil {
		return err
	}
	if time.Since(started) > MaxCommit {
		return fmt.Errorf("it took more than %s: what it refers to may be swept; try again: %w", MaxCommit, errdefs.ErrAborted)
	}
	return to.Create(ctx, key, data)
}

// copyChunked copies a part's packs and then its recipe.
func copyChunked(ctx context.Context, from bucket.Store, to *packSender, part artifacts.Part, copied map[artifacts.Digest]bool, p *Meter) error {
	data, recipe, err := getRecipe(ctx, from, part)
	if err != nil {
		return err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(copiesInFlight)
	for _, pk := range recipe.Packs() {
		if copied[pk.Digest] {
			continue
		}
		copied[pk.Digest] = true
		p.grow(int64(pk.Size))
		group.Go(func() error {
			defer p.add(int64(pk.Size))
			return copyPack(groupCtx, from, to, pk)
		})
	}
	p.grow(int64(len(data)))
	if err := group.Wait(); err != nil {
		return err
	}
	p.add(int64(len(data)))
	return to.store.Put(ctx, artifacts.RecipeKey(part.StoredDigest), bytes.NewReader(data), int64(len(data)))
}

func copyPack(ctx context.Context, from bucket.Store, to *packSender, pk artifacts.Pack) error {
	if to.isThere(ctx, pk, int64(pk.Size)) {
		return nil
	}
	key := artifacts.PackKey(pk.Digest)
	data, err := bucket.ReadAll(ctx, from, key, int64(pk.Size))
	if err != nil {
		return lostIfGone(err)
	}
	if digestOf(data) != pk.Digest {
		return fmt.Errorf("object %s in store %s: its bytes are not those that its name says: %w", key, from, errdefs.ErrDataLoss)
	}
	return to.store.Put(ctx, key, bytes.NewReader(data), int64(len(data)))
}

// copyVolume copies a volume's object through a file, since a store wants to
// know the size of what it is given, and to read it more than once.
func copyVolume(ctx context.Context, from, to bucket.Store, id artifacts.ID, part artifacts.Part, p *Meter) error {
	p.grow(part.StoredSize)
	f, err := os.CreateTemp("", "ateom-copy-")
	if err != nil {
		return err
	}
	defer f.Close()
	// A killed process leaves nothing.
	if err := os.Remove(f.Name()); err != nil {
		return err
	}
	a, err := openArchiveTee(ctx, from, id, part, f)
	if err != nil {
		return err
	}
	defer a.Close()
	if _, err := io.Copy(io.Discard, &meteredReader{ctx: ctx, r: a}); err != nil && !errors.Is(err, errdefs.ErrDataLoss) {
		return err
	}
	if err := a.Check(); err != nil {
		return err
	}
	p.add(part.StoredSize)
	volume, _ := part.Durable()
	return to.Put(ctx, artifacts.VolumeKey(id, volume), f, part.StoredSize)
}
