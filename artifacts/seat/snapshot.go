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
	"github.com/ateom/ateom/artifacts/cache"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/artifacts/local"
)

// A snapshot is what a restore reads: a directory, and for its pages maybe a
// store.
type snapshot struct {
	root   *os.Root
	seat   *job.Seat
	status *status
	// store holds the pages that root does not; nil if the seat names none.
	store Store
}

func openSnapshot(ctx context.Context, seat *job.Seat, open Opener, st *status) (*snapshot, error) {
	root, err := openPrivateRoot(seat.Dir)
	if err != nil {
		return nil, fmt.Errorf("open snapshot: %w", err)
	}
	s := &snapshot{root: root, seat: seat, status: st}
	if seat.Store.URL != "" {
		if s.store, err = open(ctx, seat.Store); err != nil {
			root.Close()
			return nil, err
		}
	}
	return s, nil
}

func (s *snapshot) close() {
	s.root.Close()
	if s.store != nil {
		s.store.Close()
	}
}

// open returns the chunks of part, whose local file has the given name. Pages
// that are not here come from the store until ctx is done.
func (s *snapshot) open(ctx context.Context, name, part string) (source, error) {
	recipe, err := s.recipe(part)
	if err != nil {
		return nil, err
	}
	f, err := s.root.Open(path.Join("image", name))
	if errors.Is(err, fs.ErrNotExist) && part == artifacts.PartPages && s.store != nil {
		return s.openRemote(ctx, recipe)
	}
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
	return newLocalSource(f, recipe, s.status), nil
}

// openRemote returns the chunks of the pages, from the store.
func (s *snapshot) openRemote(ctx context.Context, recipe *artifacts.Recipe) (source, error) {
	if !recipe.Located() {
		return nil, fmt.Errorf("open pages: they are not here, and their recipe does not say where they lie in store %s: %w",
			s.seat.Store.Name, errdefs.ErrFailedPrecondition)
	}
	set, err := cache.PinPacks(s.seat.Cache.Dir, s.seat.Cache.Size, recipe.Packs())
	if err != nil {
		s.status.warn("%v; not all that is fetched is kept", err)
	}
	return newRemoteSource(ctx, s.store, recipe, set, s.status), nil
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
	m, err := s.manifest()
	if errors.Is(err, fs.ErrNotExist) {
		return job.ReadPart(s.root.Name(), part)
	}
	if err != nil {
		return artifacts.Part{}, err
	}
	i := slices.IndexFunc(m.Parts, func(p artifacts.Part) bool { return p.Name == part })
	if i < 0 {
		return artifacts.Part{}, fmt.Errorf("find part %s in manifest of snapshot %s: %w", part, m.ID, errdefs.ErrNotFound)
	}
	return m.Parts[i], nil
}

// manifest reads the snapshot's manifest. The error is fs.ErrNotExist in a draft.
func (s *snapshot) manifest() (*artifacts.Manifest, error) {
	body, err := s.root.ReadFile("manifest.json")
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	return artifacts.DecodeManifest(body)
}
