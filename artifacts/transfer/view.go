// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/ateom/ateom/artifacts/pack"
	"github.com/containerd/errdefs"
)

// Get reads and validates a snapshot's manifest. The error is ErrNotFound
// where there is none, and ErrDataLoss for one that cannot be decoded or is another's.
func Get(ctx context.Context, s bucket.Store, id artifacts.ID) (*artifacts.Manifest, error) {
	if _, err := artifacts.ParseID(string(id)); err != nil {
		return nil, fmt.Errorf("get snapshot: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	data, err := bucket.ReadAll(ctx, s, artifacts.ManifestKey(id), artifacts.MaxManifestSize)
	if errors.Is(err, errdefs.ErrNotFound) {
		return nil, fmt.Errorf("get snapshot %s: not in store %s: %w", id, s, errdefs.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("get snapshot %s: %w", id, err)
	}
	m, err := artifacts.DecodeManifest(data)
	if errors.Is(err, errdefs.ErrNotImplemented) {
		return nil, fmt.Errorf("get snapshot %s: %w", id, err)
	}
	if err != nil {
		return nil, fmt.Errorf("get snapshot %s: object %s in store %s: %w: %v", id, artifacts.ManifestKey(id), s, errdefs.ErrDataLoss, err)
	}
	if m.ID != id {
		return nil, fmt.Errorf("get snapshot %s: object %s in store %s is the manifest of %s: %w",
			id, artifacts.ManifestKey(id), s, m.ID, errdefs.ErrDataLoss)
	}
	for _, p := range m.Parts {
		if p.Encoding == artifacts.Raw {
			return nil, fmt.Errorf("get snapshot %s: part %q has encoding %q, which is for a node's own store: %w",
				id, p.Name, p.Encoding, errdefs.ErrDataLoss)
		}
	}
	return m, nil
}

// GetRecipe reads the recipe of a part of encoding Chunks and compares it with the manifest.
func GetRecipe(ctx context.Context, s bucket.Store, p artifacts.Part) (*artifacts.Recipe, error) {
	_, r, err := getRecipe(ctx, s, p)
	return r, err
}

// getRecipe returns the recipe's bytes, too.
func getRecipe(ctx context.Context, s bucket.Store, p artifacts.Part) ([]byte, *artifacts.Recipe, error) {
	return readRecipe(s, p, func(key string) ([]byte, error) { return bucket.ReadAll(ctx, s, key, p.StoredSize) })
}

// readRecipe decodes the recipe object that read brings, and compares it with the manifest.
func readRecipe(s bucket.Store, p artifacts.Part, read func(key string) ([]byte, error)) ([]byte, *artifacts.Recipe, error) {
	key := artifacts.RecipeKey(p.StoredDigest)
	lost := func(format string, args ...any) error {
		return fmt.Errorf("read recipe of part %q: object %s in store %s: %w: %w",
			p.Name, key, s, fmt.Errorf(format, args...), errdefs.ErrDataLoss)
	}
	if p.Encoding != artifacts.Chunks || p.StoredSize > artifacts.MaxRecipeSize {
		return nil, nil, lost("encoding %q, %d bytes", p.Encoding, p.StoredSize)
	}
	data, err := read(key)
	if err != nil {
		return nil, nil, fmt.Errorf("read recipe of part %q: %w", p.Name, lostIfGone(err))
	}
	if int64(len(data)) != p.StoredSize || sha256.Sum256(data) != p.StoredDigest {
		return nil, nil, lost("its bytes are not those that the manifest names")
	}
	r, err := artifacts.DecodeRecipe(bytes.NewReader(data))
	switch {
	case err != nil:
		return nil, nil, lost("%v", err)
	case r.Size() != p.Size || r.Root() != p.Digest:
		return nil, nil, lost("it describes another part than the manifest")
	case r.Len() > 0 && !r.Located():
		return nil, nil, lost("it does not say where the chunks lie")
	}
	return data, r, nil
}

// lostIfGone turns the absence of an object that a manifest refers to into
// what it is: data loss.
func lostIfGone(err error) error {
	if errors.Is(err, errdefs.ErrNotFound) {
		return fmt.Errorf("%w: %w", errdefs.ErrDataLoss, err)
	}
	return err
}

// A view is what a commit knows to be in the store: the chunks and recipes of
// its parent, and what it has sent. Nothing else may be known, since it can be
// swept at any time. It may be used from several goroutines.
type view struct {
	mu      sync.RWMutex
	packs   []artifacts.Pack
	numbers map[artifacts.Digest]uint32 // of packs
	chunks  map[artifacts.Digest]spot
	recipes map[artifacts.Digest]bool // by their stored digest
}

// A spot is where a chunk lies, in little memory: there is one for each chunk.
type spot struct {
	pack, offset, stored uint32
	codec                artifacts.Codec
}

func newView() *view {
	return &view{
		numbers: map[artifacts.Digest]uint32{},
		chunks:  map[artifacts.Digest]spot{},
		recipes: map[artifacts.Digest]bool{},
	}
}

// addSnapshot adds what the manifest refers to and is of use to a commit of
// scope. It returns the recipes of the volumes.
func (v *view) addSnapshot(ctx context.Context, s bucket.Store, m *artifacts.Manifest, scope artifacts.Scope) (map[string]*artifacts.Recipe, error) {
	volumes := map[string]*artifacts.Recipe{}
	for _, p := range m.Parts {
		volume, durable := p.Durable()
		if p.Encoding != artifacts.Chunks || !durable && scope != artifacts.Full {
			continue
		}
		r, err := GetRecipe(ctx, s, p)
		if err != nil {
			return nil, err
		}
		v.addRecipe(p, r)
		if durable {
			volumes[volume] = r
		}
	}
	return volumes, nil
}

// addRecipe adds what the recipe of a part refers to.
func (v *view) addRecipe(p artifacts.Part, r *artifacts.Recipe) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.recipes[p.StoredDigest] = true
	for i := range r.Len() {
		if c := r.Chunk(i); !c.Zero() {
			v.addChunk(c.Digest, r.Location(i))
		}
	}
}

// addPacks adds what packs hold.
func (v *view) addPacks(packs map[artifacts.Pack][]pack.Entry) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for p, entries := range packs {
		for _, e := range entries {
			v.addChunk(e.Digest, artifacts.Location{Pack: p, Offset: e.Offset, StoredLength: e.StoredLength, Codec: e.Codec})
		}
	}
}

func (v *view) addChunk(d artifacts.Digest, l artifacts.Location) {
	if _, ok := v.chunks[d]; ok {
		return
	}
	number, ok := v.numbers[l.Pack.Digest]
	if !ok {
		number = uint32(len(v.packs))
		v.packs = append(v.packs, l.Pack)
		v.numbers[l.Pack.Digest] = number
	}
	v.chunks[d] = spot{pack: number, offset: l.Offset, stored: l.StoredLength, codec: l.Codec}
}

// find returns where a chunk lies.
func (v *view) find(d artifacts.Digest) (artifacts.Location, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	s, ok := v.chunks[d]
	if !ok {
		return artifacts.Location{}, false
	}
	return artifacts.Location{Pack: v.packs[s.pack], Offset: s.offset, StoredLength: s.stored, Codec: s.codec}, true
}

// digests returns those of all chunks, in ascending order.
func (v *view) digests() []artifacts.Digest {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return slices.SortedFunc(maps.Keys(v.chunks), func(a, b artifacts.Digest) int { return bytes.Compare(a[:], b[:]) })
}

// locate returns r with the places of its chunks, all of which v knows.
func (v *view) locate(r *artifacts.Recipe) (*artifacts.Recipe, error) {
	out := new(artifacts.Recipe)
	for i := range r.Len() {
		c := r.Chunk(i)
		var l artifacts.Location
		if !c.Zero() {
			var ok bool
			if l, ok = v.find(c.Digest); !ok {
				return nil, fmt.Errorf("locate chunk %s: it is in no pack: %w", c.Digest, errdefs.ErrInternal)
			}
		}
		if err := out.AppendLocated(c.Length, c.Digest, l); err != nil {
			return nil, err
		}
	}
	return out, nil
}
