// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/chunk"
	"github.com/ateom/ateom/artifacts/local"
	"github.com/containerd/errdefs"
)

// Seal describes the checkpoint image in the draft in dir: it computes the
// recipes that are missing, writes them, and makes the whole draft durable. A
// recipe that is there already was computed from the bytes on their way to the
// disk and is believed. The parts have Encoding Raw.
func Seal(ctx context.Context, dir string, p *Meter) ([]artifacts.Part, error) {
	var parts []artifacts.Part
	for _, name := range local.ImageParts() {
		recipe, err := sealPart(ctx, dir, name, p)
		if err != nil {
			return nil, fmt.Errorf("seal part %q: %w", name, err)
		}
		parts = append(parts, rawPart(name, recipe))
	}
	if err := local.SyncTree(dir); err != nil {
		return nil, fmt.Errorf("seal %s: %w", dir, err)
	}
	return parts, nil
}

func rawPart(name string, r *artifacts.Recipe) artifacts.Part {
	return artifacts.Part{Name: name, Encoding: artifacts.Raw, Size: r.Size(), Digest: r.Root()}
}

// sealPart returns the recipe of one image file, from its recipe file if there
// is one, or else in the chunks that the save has summed, if it has.
func sealPart(ctx context.Context, dir, name string, p *Meter) (*artifacts.Recipe, error) {
	f, size, err := openImage(dir, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	recipe, err := local.ReadRecipe(dir, name)
	if err == nil && recipe.Size() != size {
		return nil, fmt.Errorf("the file has %d bytes, its recipe %d: %w", size, recipe.Size(), errdefs.ErrDataLoss)
	}
	if err == nil || !errors.Is(err, errdefs.ErrNotFound) {
		return recipe, err
	}
	sums, err := readSums(dir, name)
	if err != nil {
		return nil, err
	}
	cut := cutterOf(name)
	if sums != nil {
		cut = sums
	}
	p.grow(size)
	var before int64
	recipe, err = chunk.Scan(ctx, f, size, cut, func(n int64) {
		p.add(n - before)
		before = n
	})
	if err == nil && sums != nil {
		err = sums.check()
	}
	if err != nil {
		return nil, err
	}
	return recipe, local.WriteRecipe(dir, name, recipe)
}

// cutterOf returns how a part is cut when nobody knows more about its bytes.
func cutterOf(part string) chunk.Cutter {
	if part == artifacts.PartPages {
		return chunk.Pages{}
	}
	return chunk.Fixed{}
}

// openImage opens the file of one of runsc's parts. The caller closes it.
func openImage(dir, part string) (*os.File, int64, error) {
	path, err := local.ImagePath(dir, part)
	if err != nil {
		return nil, 0, err
	}
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, 0, fmt.Errorf("%w: %w", err, errdefs.ErrNotFound)
	}
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no file: %w", path, errdefs.ErrFailedPrecondition)
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}
