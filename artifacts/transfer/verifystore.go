// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"
)

// Depth says how much of a snapshot Verify reads.
type Depth int

const (
	// Shallow reads the manifest and the recipes, and asks for the sizes of
	// the objects that they refer to.
	Shallow Depth = iota
	// Deep reads every byte, as a Fetch would, and throws it away.
	Deep
)

// verifiersOfPacks is how many packs a Verify looks at a time.
const verifiersOfPacks = 8

// Verify compares what s has of a snapshot with its manifest. All defects are
// reported together; each is ErrDataLoss and names the object.
func Verify(ctx context.Context, s bucket.Store, id artifacts.ID, depth Depth, p *Meter) (*artifacts.Manifest, error) {
	m, err := Get(ctx, s, id)
	if err != nil {
		return nil, err
	}
	p.begin("verify")
	var bad []error
	for _, part := range m.Parts {
		p.grow(part.Size)
		check := verifyArchive
		if part.Encoding == artifacts.Chunks {
			check = verifyChunked
		}
		if err := check(ctx, s, m.ID, part, depth, p); err != nil {
			bad = append(bad, fmt.Errorf("verify snapshot %s: part %q: %w", id, part.Name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return m, errors.Join(bad...)
}

func verifyArchive(ctx context.Context, s bucket.Store, id artifacts.ID, part artifacts.Part, depth Depth, p *Meter) error {
	if depth == Shallow {
		volume, _ := part.Durable()
		return checkSize(ctx, s, artifacts.VolumeKey(id, volume), part.StoredSize)
	}
	a, err := openArchive(ctx, s, id, part)
	if err != nil {
		return err
	}
	defer a.Close()
	_, err = io.Copy(io.Discard, &meteredReader{ctx: ctx, r: a, p: p})
	if checkErr := a.Check(); checkErr != nil {
		return checkErr
	}
	return err
}

func verifyChunked(ctx context.Context, s bucket.Store, _ artifacts.ID, part artifacts.Part, depth Depth, p *Meter) error {
	r, err := GetRecipe(ctx, s, part)
	if err != nil {
		return err
	}
	var group errgroup.Group
	group.SetLimit(verifiersOfPacks)
	if depth == Shallow {
		bad := make([]error, len(r.Packs()))
		for i, pk := range r.Packs() {
			group.Go(func() error {
				bad[i] = checkSize(ctx, s, artifacts.PackKey(pk.Digest), int64(pk.Size))
				return nil
			})
		}
		_ = group.Wait()
		return errors.Join(bad...)
	}
	plan := newPlan(r)
	bad := make([]error, len(plan.spans))
	for i, sp := range plan.spans {
		group.Go(func() error {
			var w spanReader
			bad[i] = w.each(ctx, s, plan, sp, func(c artifacts.Chunk, _ []byte) error {
				p.add(int64(c.Length))
				return nil
			})
			return nil
		})
	}
	_ = group.Wait()
	return errors.Join(bad...)
}

// checkSize compares an object's size.
func checkSize(ctx context.Context, s bucket.Store, key string, size int64) error {
	info, err := s.Stat(ctx, key)
	if err != nil {
		return lostIfGone(err)
	}
	if info.Size != size {
		return fmt.Errorf("object %s in store %s: %d bytes instead of %d: %w", key, s, info.Size, size, errdefs.ErrDataLoss)
	}
	return nil
}

// VerifyPack reads a pack whole and compares it with its name and size.
func VerifyPack(ctx context.Context, s bucket.Store, pk artifacts.Pack) error {
	key := artifacts.PackKey(pk.Digest)
	r, err := s.Get(ctx, key, 0, -1)
	if err != nil {
		return lostIfGone(err)
	}
	defer r.Close()
	h := &hashReader{r: io.LimitReader(r, int64(pk.Size)+1), h: sha256.New()}
	if _, err := io.Copy(io.Discard, h); err != nil {
		return err
	}
	if h.n != int64(pk.Size) || artifacts.Digest(h.h.Sum(nil)) != pk.Digest {
		return fmt.Errorf("object %s in store %s: its bytes are not those that its name says: %w", key, s, errdefs.ErrDataLoss)
	}
	return nil
}
