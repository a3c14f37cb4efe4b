// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/ateom/ateom/artifacts/cache"
	"github.com/ateom/ateom/artifacts/job"
)

// Whole objects go through the cache in pieces, several on their way: enough
// that waiting for a first byte matters little, and bounded in memory.
const (
	objectPiece  = 4 << 20
	objectPieces = 4
)

// pinObject takes the object of a part into use in the node's cache. It
// returns nil where the object is not to be kept.
func pinObject(node job.Cache, part artifacts.Part) (*cache.Set, error) {
	// The manifest is not to be believed: it may say any size.
	if node.Dir == "" || part.StoredSize <= 0 || part.StoredSize > node.Size {
		return nil, nil
	}
	c, err := cache.Open(node.Dir, node.Size)
	if err != nil {
		return nil, err
	}
	return c.Pin([]cache.Object{{Digest: part.StoredDigest, Size: part.StoredSize}})
}

// forgetObject drops what the cache has of the object of a part.
func forgetObject(set *cache.Set, part artifacts.Part) {
	set.Forget(part.StoredDigest, 0, int(part.StoredSize))
}

// cachedRecipe is GetRecipe through the node's cache.
func cachedRecipe(ctx context.Context, s bucket.Store, part artifacts.Part, node job.Cache) (*artifacts.Recipe, error) {
	if part.StoredSize > artifacts.MaxRecipeSize {
		return GetRecipe(ctx, s, part) // which says what is wrong
	}
	set, _ := pinObject(node, part)
	if set == nil {
		return GetRecipe(ctx, s, part)
	}
	defer set.Close()
	_, r, err := readRecipe(s, part, func(key string) ([]byte, error) {
		return set.Read(ctx, part.StoredDigest, 0, int(part.StoredSize), func(ctx context.Context, off int64, p []byte) error {
			return bucket.ReadRange(ctx, s, key, off, p)
		})
	})
	if errors.Is(err, errdefs.ErrDataLoss) {
		forgetObject(set, part)
		return GetRecipe(ctx, s, part)
	}
	return r, err
}

// openCached is OpenVolume through the node's cache. The caller closes the
// archive and then the set, which is nil where nothing is kept. A warning says
// why less is kept than could be.
func openCached(ctx context.Context, s bucket.Store, id artifacts.ID, part artifacts.Part, node job.Cache) (a Archive, set *cache.Set, warning, err error) {
	if part.Encoding == artifacts.Chunks {
		recipe, err := cachedRecipe(ctx, s, part, node)
		if err != nil {
			return nil, nil, nil, err
		}
		stream := NewStream(ctx, s, recipe)
		stream.cache, warning = cache.PinPacks(node.Dir, node.Size, recipe.Packs())
		return &chunkedArchive{stream}, stream.cache, warning, nil
	}
	set, warning = pinObject(node, part)
	volume, ok := part.Durable()
	if set == nil || !ok {
		a, err := OpenVolume(ctx, s, id, part)
		return a, nil, warning, err
	}
	key := artifacts.VolumeKey(id, volume)
	object := openObject(ctx, set, part, func(ctx context.Context, off int64, p []byte) error {
		return lostIfGone(bucket.ReadRange(ctx, s, key, off, p))
	})
	a, err = newPlainArchive(object, part, fmt.Sprintf("object %s in store %s", key, s), io.Discard)
	if err != nil {
		return nil, nil, nil, errors.Join(err, set.Close())
	}
	return a, set, warning, nil
}

// An objectReader reads the object of a part through the cache.
type objectReader struct {
	ctx     context.Context
	cancel  context.CancelFunc
	workers sync.WaitGroup
	pieces  chan chan piece // in order
	buf     []byte
	err     error
}

type piece struct {
	data []byte
	err  error
}

// openObject starts reading an object that set has. The caller closes the
// reader before the set.
func openObject(ctx context.Context, set *cache.Set, part artifacts.Part, fetch cache.Fetch) *objectReader {
	ctx, cancel := context.WithCancel(ctx)
	o := &objectReader{ctx: ctx, cancel: cancel, pieces: make(chan chan piece, objectPieces)}
	o.workers.Go(func() {
		defer close(o.pieces)
		for off := int64(0); off < part.StoredSize; off += objectPiece {
			one := make(chan piece, 1)
			select {
			case o.pieces <- one:
			case <-ctx.Done():
				return
			}
			o.workers.Go(func() {
				data, err := set.Read(ctx, part.StoredDigest, off, int(min(objectPiece, part.StoredSize-off)), fetch)
				one <- piece{data, err}
			})
		}
	})
	return o
}

// Read implements io.Reader.
func (o *objectReader) Read(p []byte) (int, error) {
	for len(o.buf) == 0 {
		if o.err != nil {
			return 0, o.err
		}
		one, ok := <-o.pieces
		if !ok {
			if o.err = o.ctx.Err(); o.err == nil {
				o.err = io.EOF
			}
			continue
		}
		next := <-one
		o.buf, o.err = next.data, next.err
		if o.err != nil {
			o.buf = nil
		}
	}
	n := copy(p, o.buf)
	o.buf = o.buf[n:]
	return n, nil
}

// Close ends the requests under way.
func (o *objectReader) Close() error {
	o.cancel()
	o.workers.Wait()
	return nil
}
