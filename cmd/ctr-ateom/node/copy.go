// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/ateom/ateom/artifacts/transfer"
)

// copiersOfPacks is how many packs a Copy has in memory at a time, each of at
// most artifacts.MaxPackSize.
const copiersOfPacks = 3

// A Copy brings one snapshot from a store to another. Every object is compared
// with its digest on the way. What is referred to is written before what
// refers to it, and the manifest last, create-only: a Copy that is killed
// leaves nothing visible, and what it has written is freed by a Sweep.
//
// Packs that the other store has already are written again: only a commit's
// parent or a fresh object is safe from a Sweep that runs at the same time.
type Copy struct {
	From, To *BucketStore
	Manifest *artifacts.Manifest

	done, total atomic.Int64
}

// Progress returns the bytes copied and those to copy, as far as they are known.
func (c *Copy) Progress() (done, total int64) { return c.done.Load(), c.total.Load() }

// Run copies. The error is errdefs.ErrAlreadyExists if the snapshot is there,
// errdefs.ErrDataLoss if it is damaged here.
func (c *Copy) Run(ctx context.Context) error {
	if err := c.run(ctx); err != nil {
		return fmt.Errorf("copy snapshot %s from %s to %s: %w", c.Manifest.ID, c.From.Name(), c.To.Name(), err)
	}
	return nil
}

func (c *Copy) run(ctx context.Context) error {
	key := artifacts.ManifestKey(c.Manifest.ID)
	if _, err := c.To.Stat(ctx, key); err == nil {
		return fmt.Errorf("it is there: %w", errdefs.ErrAlreadyExists)
	} else if !errdefs.IsNotFound(err) {
		return err
	}
	for _, p := range c.Manifest.Parts {
		copyPart := c.copyObject
		if p.Encoding == artifacts.Chunks {
			copyPart = c.copyChunked
		}
		if err := copyPart(ctx, p); err != nil {
			return fmt.Errorf("part %q: %w", p.Name, err)
		}
	}
	data, err := artifacts.EncodeManifest(c.Manifest)
	if err != nil {
		return err
	}
	return c.To.Create(ctx, key, data)
}

// copyObject copies a volume that is one object, through a temporary file.
func (c *Copy) copyObject(ctx context.Context, p artifacts.Part) error {
	name, ok := p.Durable()
	if !ok || p.Encoding != artifacts.TarZstd {
		return fmt.Errorf("encoding %q is unknown: %w", p.Encoding, errdefs.ErrNotImplemented)
	}
	c.total.Add(p.StoredSize)
	f, err := os.CreateTemp("", "ctr-ateom-copy")
	if err != nil {
		return err
	}
	defer f.Close()
	if err := os.Remove(f.Name()); err != nil {
		return err
	}
	key := artifacts.VolumeKey(c.Manifest.ID, name)
	r, err := c.From.Store.Get(ctx, key, 0, -1)
	if err != nil {
		return lost(err)
	}
	defer r.Close()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, sum), io.LimitReader(r, p.StoredSize+1))
	if err != nil {
		return fmt.Errorf("read object %s: %w", key, err)
	}
	if n != p.StoredSize || artifacts.Digest(sum.Sum(nil)) != p.StoredDigest {
		return fmt.Errorf("object %s is not what the manifest says: %w", key, errdefs.ErrDataLoss)
	}
	if err := c.To.Put(ctx, key, f, n); err != nil {
		return err
	}
	c.done.Add(n)
	return nil
}

// copyChunked copies the packs of a part, then its recipe.
func (c *Copy) copyChunked(ctx context.Context, p artifacts.Part) error {
	recipe, err := transfer.GetRecipe(ctx, c.From.Store, p)
	if err != nil {
		return err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(copiersOfPacks)
	for _, pack := range recipe.Packs() {
		c.total.Add(int64(pack.Size))
		group.Go(func() error {
			return c.copyContent(groupCtx, artifacts.PackKey(pack.Digest), pack.Digest, int64(pack.Size))
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	c.total.Add(p.StoredSize)
	return c.copyContent(ctx, artifacts.RecipeKey(p.StoredDigest), p.StoredDigest, p.StoredSize)
}

// copyContent copies an object of known digest and size.
func (c *Copy) copyContent(ctx context.Context, key string, digest artifacts.Digest, size int64) error {
	data, err := bucket.ReadAll(ctx, c.From.Store, key, size)
	if err != nil {
		return lost(err)
	}
	if int64(len(data)) != size || artifacts.Digest(sha256.Sum256(data)) != digest {
		return fmt.Errorf("object %s is not what its name says: %w", key, errdefs.ErrDataLoss)
	}
	if err := c.To.Put(ctx, key, bytes.NewReader(data), size); err != nil {
		return err
	}
	c.done.Add(size)
	return nil
}

// lost says that an object that is referred to and gone is lost data.
func lost(err error) error {
	if errdefs.IsNotFound(err) {
		return fmt.Errorf("%v: %w", err, errdefs.ErrDataLoss)
	}
	return err
}
