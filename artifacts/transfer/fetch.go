// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/ateom/ateom/artifacts/cache"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/artifacts/local"
	"github.com/ateom/ateom/durabledir"
	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"
)

// Fetch brings a snapshot from s: its volumes into r.Volumes, and, unless the
// snapshot or the request is of scope Data, its image and recipes into r.Dir;
// with r.Lazy the pages stay where they are. At last it writes the manifest
// into r.Dir. Everything is compared with the manifest before Fetch returns; after an error
// the volumes are empty again and r.Dir is good for nothing. What a Fetch that was killed left in a volume is known by a mark
// and removed by the next one, which finds in r.Cache what it had brought. A requested volume that the
// snapshot does not have stays empty, which a warning tells.
func Fetch(ctx context.Context, s bucket.Store, r *job.Request, p *Meter) (*artifacts.Manifest, []string, error) {
	m, err := Get(ctx, s, r.ID)
	if err != nil {
		return nil, nil, err
	}
	warnings, err := bring(ctx, s, m, r, p)
	if err != nil {
		return nil, nil, err
	}
	return m, warnings, nil
}

// bring is Fetch for who has the manifest.
func bring(ctx context.Context, s bucket.Store, m *artifacts.Manifest, r *job.Request, p *Meter) ([]string, error) {
	for i, v := range r.Volumes {
		if err := takeVolume(v, r.ID); err != nil {
			return nil, errors.Join(fmt.Errorf("fetch snapshot %s: %w", r.ID, err), clearVolumes(r.Volumes[:i]))
		}
	}
	warnings, err := fetch(ctx, s, m, r, p)
	if r.Cache.Dir != "" && errors.Is(err, errdefs.ErrDataLoss) {
		warnings, err = fetchUncached(ctx, s, m, r, p)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("fetch snapshot %s: %w", r.ID, err), clearVolumes(r.Volumes))
	}
	for _, v := range r.Volumes {
		if err := durabledir.Unmark(v.Path); err != nil {
			return nil, errors.Join(fmt.Errorf("fetch snapshot %s: %w", r.ID, err), clearVolumes(r.Volumes))
		}
	}
	return warnings, nil
}

// fetchUncached is a second fetch, by the store alone: a cache promises nothing,
// and the store may have better bytes.
func fetchUncached(ctx context.Context, s bucket.Store, m *artifacts.Manifest, r *job.Request, p *Meter) ([]string, error) {
	for _, v := range r.Volumes {
		// Marked as they are, they may be emptied.
		if err := takeVolume(v, r.ID); err != nil {
			return nil, err
		}
	}
	again := *r
	again.Cache = job.Cache{}
	return fetch(ctx, s, m, &again, p)
}

// takeVolume takes an empty volume for restoring. What is in a marked one was
// left by a restore that was killed, and goes; any other content is refused.
func takeVolume(v job.Volume, id artifacts.ID) error {
	entries, err := os.ReadDir(v.Path)
	if err == nil && len(entries) > 0 {
		if durabledir.Marked(v.Path) {
			err = emptyDir(v.Path)
		} else {
			err = fmt.Errorf("%s is not empty (it holds %q): %w", v.Path, entries[0].Name(), errdefs.ErrFailedPrecondition)
		}
	}
	if err == nil {
		err = durabledir.Mark(v.Path, string(id))
	}
	if err != nil {
		return fmt.Errorf("volume %q: %w", v.Name, err)
	}
	return nil
}

// clearVolumes makes volumes what they were before a fetch.
func clearVolumes(volumes []job.Volume) error {
	var errs []error
	for _, v := range volumes {
		err := emptyDir(v.Path)
		if err == nil {
			err = durabledir.Unmark(v.Path)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func fetch(ctx context.Context, s bucket.Store, m *artifacts.Manifest, r *job.Request, p *Meter) ([]string, error) {
	if r.Scope == artifacts.Full && m.Scope != artifacts.Full {
		return nil, fmt.Errorf("it is of scope %s, not Full: %w", m.Scope, errdefs.ErrFailedPrecondition)
	}
	p.begin("fetch")
	parts := make(map[string]artifacts.Part, len(m.Parts))
	for _, part := range m.Parts {
		parts[part.Name] = part
	}
	group, ctx := errgroup.WithContext(ctx)
	var links durabledir.Links
	defer links.Close()
	warnings := make([][]string, len(r.Volumes))
	for i, v := range r.Volumes {
		part, ok := parts[artifacts.DurablePrefix+v.Name]
		if !ok {
			warnings[i] = []string{fmt.Sprintf("volume %q begins empty: snapshot %s has none of that name", v.Name, m.ID)}
			continue
		}
		p.grow(part.Size)
		group.Go(func() (err error) {
			warnings[i], err = fetchVolume(ctx, s, m.ID, part, v, r.Cache, &links, p)
			return err
		})
	}
	if m.Scope == artifacts.Full && r.Scope != artifacts.Data {
		for _, dir := range []string{local.ImageDir(r.Dir), local.RecipePath(r.Dir, "")} {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return nil, err
			}
		}
		for _, name := range local.ImageParts() {
			lazy := r.Lazy && name == artifacts.PartPages
			group.Go(func() error { return fetchImagePart(ctx, s, parts[name], r, lazy, p) })
		}
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	all, err := links.Join()
	if err != nil {
		return nil, err
	}
	for _, part := range m.Parts {
		volume, ok := part.Durable()
		if ok && !requested(r.Volumes, volume) {
			all = append(all, fmt.Sprintf("volume %q of snapshot %s is left out: nobody asked for it", volume, m.ID))
		}
	}
	for _, w := range warnings {
		all = append(all, w...)
	}
	if r.Dir == "" {
		return all, nil
	}
	return all, writeManifest(r.Dir, m)
}

func requested(volumes []job.Volume, name string) bool {
	for _, v := range volumes {
		if v.Name == name {
			return true
		}
	}
	return false
}

func writeManifest(dir string, m *artifacts.Manifest) error {
	data, err := artifacts.EncodeManifest(m)
	if err != nil {
		return err
	}
	return os.WriteFile(local.ManifestPath(dir), data, 0o600)
}

// fetchersPerPart is how many requests for chunks are under way for one part;
// each takes up to maxSpan bytes of memory.
const fetchersPerPart = 10

// fetchImagePart brings a part's recipe and, unless it is lazy, its bytes.
func fetchImagePart(ctx context.Context, s bucket.Store, part artifacts.Part, r *job.Request, lazy bool, p *Meter) error {
	recipe, err := cachedRecipe(ctx, s, part, r.Cache)
	if err != nil {
		return err
	}
	if err := local.WriteRecipe(r.Dir, part.Name, recipe); err != nil {
		return err
	}
	if lazy {
		return nil
	}
	path, err := local.ImagePath(r.Dir, part.Name)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(recipe.Size()); err != nil {
		return err
	}
	p.grow(recipe.Size())
	// Where not all can be kept, it is fetched all the same.
	set, _ := cache.PinPacks(r.Cache.Dir, r.Cache.Size, recipe.Packs())
	defer set.Close() // what it says of use is a hint
	if err := fetchChunks(ctx, s, set, newPlan(recipe), f, p); err != nil {
		return fmt.Errorf("part %q: %w", part.Name, err)
	}
	return f.Close()
}

// fetchChunks writes the stored chunks of a plan to their places in f; the
// zero ones are left as holes.
func fetchChunks(ctx context.Context, s bucket.Store, set *cache.Set, plan *plan, f *os.File, p *Meter) error {
	group, ctx := errgroup.WithContext(ctx)
	queue := make(chan span)
	group.Go(func() error {
		defer close(queue)
		for _, sp := range plan.spans {
			select {
			case queue <- sp:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	for range min(fetchersPerPart, len(plan.spans)) {
		group.Go(func() error {
			w := spanReader{cache: set}
			if set == nil {
				w.stored = make([]byte, plan.largest())
			}
			for sp := range queue {
				if err := w.fetch(ctx, s, plan, sp, f, p); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// A spanReader holds the buffers of one worker.
type spanReader struct {
	stored, chunk []byte
	cache         *cache.Set // nil for none
}

// fetch reads one span and writes each of its chunks.
func (w *spanReader) fetch(ctx context.Context, s bucket.Store, plan *plan, sp span, f *os.File, p *Meter) error {
	return w.each(ctx, s, plan, sp, func(c artifacts.Chunk, data []byte) error {
		if _, err := f.WriteAt(data, c.Offset); err != nil {
			return err
		}
		p.add(int64(c.Length))
		return nil
	})
}

// each reads one span and hands over each of its chunks, which are good; the
// bytes are valid during the call only.
func (w *spanReader) each(ctx context.Context, s bucket.Store, plan *plan, sp span, use func(artifacts.Chunk, []byte) error) error {
	if err := w.read(ctx, s, sp); err != nil {
		return lostIfGone(err)
	}
	for _, i := range plan.order[sp.first:sp.last] {
		c, l := plan.recipe.Chunk(int(i)), plan.recipe.Location(int(i))
		w.chunk = resize(w.chunk, int(c.Length))
		from := l.Offset - sp.start
		err := unpack(s, w.chunk, w.stored[from:from+l.StoredLength], l, c)
		if err != nil && w.cache != nil {
			// A cache promises nothing: the store may have better bytes.
			w.cache.Forget(sp.pack.Digest, int64(sp.start), int(sp.end-sp.start))
			if err := w.read(ctx, s, sp); err != nil {
				return lostIfGone(err)
			}
			err = unpack(s, w.chunk, w.stored[from:from+l.StoredLength], l, c)
		}
		if err != nil {
			return err
		}
		if err := use(c, w.chunk); err != nil {
			return err
		}
	}
	return nil
}

// read brings the stored bytes of a span.
func (w *spanReader) read(ctx context.Context, s bucket.Store, sp span) (err error) {
	fetch := func(ctx context.Context, off int64, p []byte) error {
		return bucket.ReadRange(ctx, s, artifacts.PackKey(sp.pack.Digest), off, p)
	}
	n := int(sp.end - sp.start)
	if w.cache == nil {
		w.stored = resize(w.stored, n)
		return fetch(ctx, int64(sp.start), w.stored)
	}
	w.stored, err = w.cache.Read(ctx, sp.pack.Digest, int64(sp.start), n, fetch)
	return err
}

// resize returns a slice of n bytes, b's own where it is big enough.
func resize(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n)
	}
	return b[:n]
}
