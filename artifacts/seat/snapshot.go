// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path"

	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/artifacts"
)

// A source yields the chunks of one part.
type source interface {
	// recipe of the part.
	recipe() *artifacts.Recipe
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

// open returns the chunks of part, whose local file has the given name.
func (s *snapshot) open(name, part string) (source, error) {
	recipe, err := s.recipe(part)
	if err != nil {
		return nil, err
	}
	f, err := s.root.Open(path.Join("image", name))
	if err != nil {
		return nil, fmt.Errorf("open image of part %s: %w", part, err)
	}
	fi, err := f.Stat()
	if err == nil && fi.Size() != recipe.Size() {
		err = fmt.Errorf("%d bytes long, its recipe says %d: %w", fi.Size(), recipe.Size(), errdefs.ErrDataLoss)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("check image/%s: %w", name, err)
	}
	return &localSource{f: f, r: recipe}, nil
}

// recipe reads the recipe of part.
func (s *snapshot) recipe(part string) (*artifacts.Recipe, error) {
	f, err := s.root.Open(path.Join("recipes", part))
	if err != nil {
		return nil, fmt.Errorf("open recipe of part %s: %w", part, err)
	}
	defer f.Close()
	r, err := artifacts.DecodeRecipe(bufio.NewReader(f))
	if err != nil {
		return nil, fmt.Errorf("read recipe of part %s: %w", part, err)
	}
	return r, nil
}

// A localSource reads chunks from an image file.
type localSource struct {
	f *os.File
	r *artifacts.Recipe
}

func (s *localSource) recipe() *artifacts.Recipe { return s.r }

func (s *localSource) readChunk(_ context.Context, i int, p []byte) error {
	off := s.r.Chunk(i).Offset
	if _, err := s.f.ReadAt(p, off); err != nil {
		return fmt.Errorf("read %s at %d: %w", s.f.Name(), off, err)
	}
	return nil
}

// parallel is 0: as many as there are processors.
func (s *localSource) parallel() int { return 0 }

func (s *localSource) close() error { return s.f.Close() }
