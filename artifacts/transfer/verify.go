// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/chunk"
	"github.com/ateom/ateom/artifacts/local"
	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"
)

// VerifyLocal reads the image of the local snapshot in dir whole and compares
// it with its manifest. What lies elsewhere by design (volumes, and the pages
// of a lazy fetch) is passed over. The error is ErrDataLoss and names the file.
func VerifyLocal(ctx context.Context, dir string, p *Meter) (*artifacts.Manifest, error) {
	m, err := local.ReadManifest(dir)
	if err != nil {
		return nil, fmt.Errorf("verify %s: %w", dir, lostIfAbsent(err))
	}
	p.begin("verify")
	for _, part := range m.Parts {
		if _, durable := part.Durable(); durable {
			continue
		}
		if err := verifyImagePart(ctx, dir, part, p); err != nil {
			return nil, fmt.Errorf("verify %s: part %q: %w", dir, part.Name, err)
		}
	}
	return m, nil
}

func verifyImagePart(ctx context.Context, dir string, part artifacts.Part, p *Meter) error {
	recipe, err := local.ReadRecipe(dir, part.Name)
	if err != nil {
		return lostIfAbsent(err)
	}
	if recipe.Size() != part.Size || recipe.Root() != part.Digest {
		return fmt.Errorf("%s is not the recipe that the manifest names: %w", local.RecipePath(dir, part.Name), errdefs.ErrDataLoss)
	}
	f, size, err := openImage(dir, part.Name)
	if errors.Is(err, errdefs.ErrNotFound) && part.Encoding == artifacts.Chunks {
		return nil
	}
	if err != nil {
		return lostIfAbsent(err)
	}
	defer f.Close()
	if size != part.Size {
		return fmt.Errorf("%s has %d bytes instead of %d: %w", f.Name(), size, part.Size, errdefs.ErrDataLoss)
	}
	p.grow(size)
	return verifyChunks(ctx, f, recipe, p)
}

// verifyChunks compares the bytes of f with recipe, on all processors.
func verifyChunks(ctx context.Context, f *os.File, recipe *artifacts.Recipe, p *Meter) error {
	const stride = 64 // chunks
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for first := 0; first < recipe.Len() && groupCtx.Err() == nil; first += stride {
		group.Go(func() error {
			buf := make([]byte, 128<<10)
			for i := first; i < min(first+stride, recipe.Len()); i++ {
				if err := groupCtx.Err(); err != nil {
					return err
				}
				c := recipe.Chunk(i)
				if err := verifyChunk(f, c, &buf); err != nil {
					return fmt.Errorf("%s, bytes %d+%d: %w", f.Name(), c.Offset, c.Length, err)
				}
				p.add(int64(c.Length))
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// verifyChunk compares one chunk; a run of zeros is read in pieces of buf.
func verifyChunk(f io.ReaderAt, c artifacts.Chunk, buf *[]byte) error {
	if !c.Zero() {
		*buf = resize(*buf, int(c.Length))
	}
	for done := int64(0); done < int64(c.Length); {
		piece := (*buf)[:min(int64(len(*buf)), int64(c.Length)-done)]
		if n, err := f.ReadAt(piece, c.Offset+done); n < len(piece) {
			return fmt.Errorf("read: %w: %w", err, errdefs.ErrDataLoss)
		}
		if c.Zero() && !chunk.IsZero(piece) || !c.Zero() && sha256.Sum256(piece) != c.Digest {
			return fmt.Errorf("the bytes have changed since they were saved: %w", errdefs.ErrDataLoss)
		}
		done += int64(len(piece))
	}
	return nil
}

// lostIfAbsent turns the absence of a file that a manifest refers to into what it is.
func lostIfAbsent(err error) error {
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, errdefs.ErrNotFound) {
		return fmt.Errorf("%w: %w", errdefs.ErrDataLoss, err)
	}
	return err
}
