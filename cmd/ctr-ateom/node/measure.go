// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/local"
	"github.com/ateom/ateom/artifacts/transfer"
)

// A Measure is what a part of a snapshot takes in a store.
type Measure struct {
	Part string `json:"part"`
	// Size is the part's own, Stored what its bytes take in the store (packs
	// are shared: the sum over snapshots is more than the store holds), and New
	// how much of that the snapshot's parent has not. All in bytes.
	Size   int64 `json:"size"`
	Stored int64 `json:"stored"`
	New    int64 `json:"new"`
}

// Measure implements Store: it counts the blocks of the parts' files, in which
// zeros may be holes. A local snapshot shares nothing.
func (s *LocalStore) Measure(_ context.Context, m *artifacts.Manifest) ([]Measure, error) {
	sn, err := s.Store.Get(m.ID)
	if err != nil {
		return nil, err
	}
	var measures []Measure
	for _, p := range m.Parts {
		path := ""
		if volume, ok := p.Durable(); ok {
			path = local.DurablePath(sn.Dir, volume)
		} else if path, err = local.ImagePath(sn.Dir, p.Name); err != nil {
			return nil, err
		}
		var st unix.Stat_t
		// Volumes may stay outside of local snapshots.
		if err := unix.Stat(path, &st); err != nil && !errors.Is(err, unix.ENOENT) {
			return nil, fmt.Errorf("stat %s: %w", path, err)
		}
		bytes := st.Blocks * 512 // st_blocks counts units of 512 bytes on every file system
		measures = append(measures, Measure{Part: p.Name, Size: p.Size, Stored: bytes, New: bytes})
	}
	return measures, nil
}

// Measure implements Store: of a chunked part it counts the chunks as they lie
// in the packs, and the recipe.
func (s *BucketStore) Measure(ctx context.Context, m *artifacts.Manifest) ([]Measure, error) {
	inherited, err := s.parentChunks(ctx, m)
	if err != nil {
		return nil, err
	}
	var measures []Measure
	for _, p := range m.Parts {
		v := Measure{Part: p.Name, Size: p.Size, Stored: p.StoredSize, New: p.StoredSize}
		if p.Encoding == artifacts.Chunks {
			r, err := transfer.GetRecipe(ctx, s.Store, p)
			if err != nil {
				return nil, fmt.Errorf("measure part %q of snapshot %s: %w", p.Name, m.ID, err)
			}
			for digest, stored := range chunks(r) {
				v.Stored += stored
				if !inherited[digest] {
					v.New += stored
				}
			}
		}
		measures = append(measures, v)
	}
	return measures, nil
}

// parentChunks returns the chunks of m's parent, or none if that is not here.
func (s *BucketStore) parentChunks(ctx context.Context, m *artifacts.Manifest) (map[artifacts.Digest]bool, error) {
	all := make(map[artifacts.Digest]bool)
	if m.Parent == "" {
		return all, nil
	}
	parent, err := s.Get(ctx, m.Parent)
	if errdefs.IsNotFound(err) {
		return all, nil
	}
	if err != nil {
		return nil, fmt.Errorf("measure snapshot %s: its parent: %w", m.ID, err)
	}
	for _, p := range parent.Parts {
		if p.Encoding != artifacts.Chunks {
			continue
		}
		r, err := transfer.GetRecipe(ctx, s.Store, p)
		if err != nil {
			return nil, fmt.Errorf("measure snapshot %s: its parent: %w", m.ID, err)
		}
		for digest := range chunks(r) {
			all[digest] = true
		}
	}
	return all, nil
}

// chunks returns the stored length of each distinct chunk of a located recipe.
func chunks(r *artifacts.Recipe) map[artifacts.Digest]int64 {
	lengths := make(map[artifacts.Digest]int64)
	for i := range r.Len() {
		if c := r.Chunk(i); !c.Zero() {
			lengths[c.Digest] = int64(r.Location(i).StoredLength)
		}
	}
	return lengths
}
