// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"

	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/artifacts/local"
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

// recipe reads the recipe of part and compares it with the snapshot's manifest.
func (s *snapshot) recipe(part string) (*artifacts.Recipe, error) {
	want, err := s.describe(part)
	if err != nil {
		return nil, err
	}
	r, err := local.ReadRecipe(s.root.Name(), part)
	if err != nil {
		return nil, err
	}
	if r.Size() != want.Size || r.Root() != want.Digest {
		return nil, fmt.Errorf("check recipe of part %s: its root %s of %d bytes is not the manifest's %s of %d bytes: %w",
			part, r.Root(), r.Size(), want.Digest, want.Size, errdefs.ErrDataLoss)
	}
	return r, nil
}

// describe returns what the manifest says of part, or, in a draft that has no
// manifest yet, what the save has left.
func (s *snapshot) describe(part string) (artifacts.Part, error) {
	body, err := s.root.ReadFile("manifest.json")
	if errors.Is(err, fs.ErrNotExist) {
		return job.ReadPart(s.root.Name(), part)
	}
	if err != nil {
		return artifacts.Part{}, fmt.Errorf("read manifest: %w", err)
	}
	m, err := artifacts.DecodeManifest(body)
	if err != nil {
		return artifacts.Part{}, err
	}
	i := slices.IndexFunc(m.Parts, func(p artifacts.Part) bool { return p.Name == part })
	if i < 0 {
		return artifacts.Part{}, fmt.Errorf("find part %s in manifest of snapshot %s: %w", part, m.ID, errdefs.ErrNotFound)
	}
	return m.Parts[i], nil
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
