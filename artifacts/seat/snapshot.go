// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"

	"github.com/containerd/errdefs"
)

// A source yields the chunks of one part.
type source interface {
	// layout of the part, which the recipe gives.
	layout() *layout
	// readChunk fills p, which is as long as chunk i, with what should be its
	// bytes. The caller verifies them. It is called from many goroutines.
	readChunk(ctx context.Context, i int, p []byte) error
	// parallel is how many readChunk calls are worth having at a time.
	parallel() int
	close() error
}

// A snapshot is the directory that a restore reads.
type snapshot struct {
	root *os.Root
}

func openSnapshot(dir string) (*snapshot, error) {
	root, err := openPrivateRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open snapshot: %w", err)
	}
	return &snapshot{root: root}, nil
}

func (s *snapshot) close() { s.root.Close() }

// maxRecipeBytes bounds a recipe: a terabyte of memory has 2^24 chunks.
const maxRecipeBytes = 1 << 30

// open returns the chunks of part, whose local file has the given name.
func (s *snapshot) open(name, part string) (source, error) {
	recipe, err := s.recipe(part)
	if err != nil {
		return nil, err
	}
	l := newLayout(recipe)
	f, err := s.root.Open(path.Join("image", name))
	if err != nil {
		return nil, fmt.Errorf("open image of part %s: %w", part, err)
	}
	fi, err := f.Stat()
	if err == nil && fi.Size() != l.size() {
		err = fmt.Errorf("%d bytes long, its recipe says %d: %w", fi.Size(), l.size(), errdefs.ErrDataLoss)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("check image/%s: %w", name, err)
	}
	return &localSource{f: f, l: l}, nil
}

// recipe reads and checks the recipe of part.
func (s *snapshot) recipe(part string) ([]chunk, error) {
	f, err := s.root.Open(path.Join("recipes", part))
	if err != nil {
		return nil, fmt.Errorf("open recipe of part %s: %w", part, err)
	}
	defer f.Close()
	body, err := io.ReadAll(io.LimitReader(f, maxRecipeBytes))
	if err != nil {
		return nil, fmt.Errorf("read recipe of part %s: %w", part, err)
	}
	chunks, err := decodeRecipe(body)
	if err != nil {
		return nil, fmt.Errorf("decode recipe of part %s: %w", part, err)
	}
	for i, c := range chunks {
		if c.Length == 0 || c.Length > chunkSize {
			return nil, fmt.Errorf("check recipe of part %s: chunk %d has %d bytes, want 1 to %d: %w", part, i, c.Length, chunkSize, errdefs.ErrDataLoss)
		}
	}
	return chunks, nil
}

// A localSource reads chunks from an image file.
type localSource struct {
	f *os.File
	l *layout
}

func (s *localSource) layout() *layout { return s.l }

func (s *localSource) readChunk(_ context.Context, i int, p []byte) error {
	if _, err := s.f.ReadAt(p, s.l.start(i)); err != nil {
		return fmt.Errorf("read %s at %d: %w", s.f.Name(), s.l.start(i), err)
	}
	return nil
}

// parallel is 0: as many as there are processors.
func (s *localSource) parallel() int { return 0 }

func (s *localSource) close() error { return s.f.Close() }
