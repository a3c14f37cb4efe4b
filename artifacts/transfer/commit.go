// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/ateom/ateom/artifacts/bucket/sealed"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/artifacts/local"
	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"
)

// MaxCommit bounds the time from a commit's first look at the store to its
// manifest. What a sweep of the store may delete is older than that
// (see Sweep), so a commit cannot lose what it refers to.
const MaxCommit = 12 * time.Hour

// A Commit puts one snapshot into a store: NewCommit looks at the store and
// reads what rests in the volumes, Capture fixes the volumes while the sandbox
// is frozen, Upload does the rest. Close must be called.
type Commit struct {
	store    bucket.Store
	id       artifacts.ID
	dir      string
	scope    artifacts.Scope
	volumes  []volume
	indexes  indexes
	maxPlain int64 // see the constant
	started  time.Time

	image    string // the snapshot or draft that has the image: dir, or another
	packs    *packer
	parts    []artifacts.Part
	warnings []string
	known    *view
	settled  bool
}

// NewCommit begins a commit of scope into s: it makes sure that the store
// answers, and reads what the parent has there. dir is the draft's directory,
// which is scratch to the commit. parent may be empty; one that is gone or
// damaged costs bytes, not the commit, and is told of in the warnings.
func NewCommit(ctx context.Context, s bucket.Store, r *job.Request) (*Commit, []string, error) {
	if _, err := artifacts.ParseID(string(r.ID)); err != nil {
		return nil, nil, fmt.Errorf("commit: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	if r.Scope != artifacts.Full && r.Scope != artifacts.Data {
		return nil, nil, fmt.Errorf("commit snapshot %s: scope %q is none of Full, Data: %w", r.ID, r.Scope, errdefs.ErrInvalidArgument)
	}
	c := &Commit{
		store: s, id: r.ID, dir: r.Dir, image: r.Dir, scope: r.Scope, indexes: indexes(r.Indexes),
		maxPlain: maxPlain, started: time.Now(), packs: newPacker(s), known: newView(),
	}
	for _, v := range r.Volumes {
		c.volumes = append(c.volumes, volume{Volume: v})
	}
	warnings, err := c.begin(ctx, r.Parent)
	if err != nil {
		c.Close()
		return nil, nil, fmt.Errorf("commit snapshot %s: %w", r.ID, err)
	}
	return c, warnings, nil
}

// begin asks the store and reads the volumes at the same time.
func (c *Commit) begin(ctx context.Context, parent artifacts.ID) (warnings []string, err error) {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.checkStore(ctx) })
	group.Go(func() (err error) {
		var recipes map[string]*artifacts.Recipe
		if parent != "" {
			if warnings, recipes, err = c.readParent(ctx, parent); err != nil {
				return err
			}
		}
		if err := c.listKnown(); err != nil {
			return err
		}
		return c.beginVolumes(ctx, recipes)
	})
	err = group.Wait()
	return warnings, err
}

// checkStore makes sure that the store answers and has no such snapshot.
func (c *Commit) checkStore(ctx context.Context) error {
	if err := c.store.Check(ctx); err != nil {
		return err
	}
	_, err := c.store.Stat(ctx, artifacts.ManifestKey(c.id))
	switch {
	case err == nil:
		return fmt.Errorf("store %s has it already: %w", c.store, errdefs.ErrAlreadyExists)
	case errors.Is(err, errdefs.ErrNotFound):
		return nil
	}
	return err
}

// Close gives up what the capture holds. It may be called at any time.
func (c *Commit) Close() {
	for i := range c.volumes {
		if p := c.volumes[i].pass; p != nil {
			p.Close()
		}
	}
}

// readParent learns what the store has of the parent, and returns the recipes
// of its volumes.
func (c *Commit) readParent(ctx context.Context, parent artifacts.ID) ([]string, map[string]*artifacts.Recipe, error) {
	// What an older key opens must not be relied on by what outlives that key. A
	// snapshot of the newest key refers to nothing else: so all of its line began.
	newest, err := sealed.OfNewestKey(ctx, c.store, artifacts.ManifestKey(parent))
	if err == nil && !newest {
		return []string{fmt.Sprintf("everything is sent: snapshot %s is encrypted with an older key", parent)}, nil, nil
	}
	recipes := map[string]*artifacts.Recipe{}
	var m *artifacts.Manifest
	if err == nil {
		m, err = Get(ctx, c.store, parent)
	}
	if err == nil {
		recipes, err = c.known.addSnapshot(ctx, c.store, m, c.scope)
	}
	switch {
	case errors.Is(err, errdefs.ErrNotFound), errors.Is(err, errdefs.ErrDataLoss), errors.Is(err, errdefs.ErrNotImplemented):
		c.known = newView()
		return []string{fmt.Sprintf("everything is sent: the parent is of no use: %v", err)}, nil, nil
	case err != nil:
		return nil, nil, err
	}
	return nil, recipes, nil
}

// Capture fixes the state of the volumes; the sandbox is frozen meanwhile.
// image, if not empty, is the local snapshot whose checkpoint image is to be
// committed.
func (c *Commit) Capture(ctx context.Context, image string) error {
	if image != "" {
		c.image = image
	}
	settle := func(ctx context.Context, v *volume) error { return v.pass.Settle(ctx) }
	if err := c.eachVolume(ctx, settle); err != nil {
		return fmt.Errorf("commit snapshot %s: %w", c.id, err)
	}
	c.settled = true
	return nil
}

// Warnings are sentences about what could not be kept of the volumes. They are
// complete when Upload has returned.
func (c *Commit) Warnings() []string { return c.warnings }

// Upload sends the captured volumes and the image's chunks, then the recipes,
// then the manifest: m with the parts as they stand in the store. Only that
// last step makes the snapshot visible. Parts of m that are there already
// (the image's) must be what is sent.
func (c *Commit) Upload(ctx context.Context, m *artifacts.Manifest, p *Meter) (*artifacts.Manifest, error) {
	out, err := c.upload(ctx, m, p)
	if err != nil {
		return nil, fmt.Errorf("commit snapshot %s: %w", c.id, err)
	}
	return out, nil
}

func (c *Commit) upload(ctx context.Context, m *artifacts.Manifest, p *Meter) (*artifacts.Manifest, error) {
	switch {
	case !c.settled:
		return nil, fmt.Errorf("nothing is captured yet: %w", errdefs.ErrFailedPrecondition)
	case m == nil || m.ID != c.id || m.Scope != c.scope:
		return nil, fmt.Errorf("the manifest is not this commit's: %w", errdefs.ErrInvalidArgument)
	}
	p.begin("upload")
	out := *m
	out.Parts = nil
	group, groupCtx := errgroup.WithContext(ctx)
	var image []artifacts.Part
	if c.scope == artifacts.Full {
		group.Go(func() (err error) {
			image, err = c.sendImage(groupCtx, m, p)
			return err
		})
	}
	group.Go(func() error { return c.sendVolumes(groupCtx, p) })
	if err := group.Wait(); err != nil {
		return nil, err
	}
	out.Parts = append(image, c.parts...)
	data, err := artifacts.EncodeManifest(&out)
	if err != nil {
		return nil, err
	}
	if took := time.Since(c.started); took > MaxCommit {
		return nil, fmt.Errorf("it took %s, more than %s: what it refers to may be swept; try again: %w",
			took.Round(time.Minute), MaxCommit, errdefs.ErrAborted)
	}
	if err := c.store.Create(ctx, artifacts.ManifestKey(c.id), data); err != nil {
		return nil, err
	}
	for i := range c.volumes {
		if err := c.indexes.write(&c.volumes[i]); err != nil {
			c.warnings = append(c.warnings, fmt.Sprintf("the next commit reads everything: %v", err))
		}
	}
	return &out, nil
}

// sendImage sends the chunks and recipes of the checkpoint image and returns
// its parts.
func (c *Commit) sendImage(ctx context.Context, m *artifacts.Manifest, p *Meter) ([]artifacts.Part, error) {
	parts, closeAll, err := c.openParts(ctx, m, p)
	if err != nil {
		return nil, err
	}
	defer closeAll()
	if err := sendChunks(ctx, c.packs, parts, c.known, p); err != nil {
		return nil, err
	}
	var out []artifacts.Part
	for _, part := range parts {
		desc, err := c.sendRecipe(ctx, part.name, part.recipe)
		if err != nil {
			return nil, err
		}
		out = append(out, desc)
	}
	return out, nil
}

// sendRecipe sends the recipe of a part whose chunks are in the store, unless
// the parent has the same, and returns the part.
func (c *Commit) sendRecipe(ctx context.Context, name string, r *artifacts.Recipe) (artifacts.Part, error) {
	located, err := c.known.locate(r)
	if err != nil {
		return artifacts.Part{}, fmt.Errorf("part %q: %w", name, err)
	}
	data := artifacts.EncodeRecipe(located)
	part := artifacts.Part{
		Name: name, Encoding: artifacts.Chunks, Size: r.Size(), Digest: r.Root(),
		StoredSize: int64(len(data)), StoredDigest: digestOf(data),
	}
	if c.known.recipes[part.StoredDigest] {
		return part, nil
	}
	if err := c.store.Put(ctx, artifacts.RecipeKey(part.StoredDigest), bytes.NewReader(data), part.StoredSize); err != nil {
		return part, fmt.Errorf("send recipe of part %q: %w", name, err)
	}
	return part, nil
}

// openParts opens the image's files with their recipes.
func (c *Commit) openParts(ctx context.Context, m *artifacts.Manifest, p *Meter) (_ []imagePart, closeAll func(), err error) {
	var files []io.Closer
	closeAll = func() {
		for _, f := range files {
			f.Close()
		}
	}
	defer func() {
		if err != nil {
			closeAll()
		}
	}()
	var parts []imagePart
	for _, name := range local.ImageParts() {
		recipe, err := c.recipe(ctx, name, m)
		if err != nil {
			return nil, nil, fmt.Errorf("part %q: %w", name, err)
		}
		f, _, err := openImage(c.image, name)
		if err != nil {
			return nil, nil, fmt.Errorf("part %q: %w", name, err)
		}
		files = append(files, f)
		p.grow(recipe.Size())
		parts = append(parts, imagePart{name: name, file: f, recipe: recipe})
	}
	return parts, closeAll, nil
}

// recipe returns the recipe of an image part, which is computed if nobody has
// sealed it, and must be the one that the manifest's part has, if that has a digest.
func (c *Commit) recipe(ctx context.Context, name string, m *artifacts.Manifest) (*artifacts.Recipe, error) {
	recipe, err := sealPart(ctx, c.image, name, nil)
	if err != nil {
		return nil, err
	}
	for _, p := range m.Parts {
		if p.Name == name && (p.Size != recipe.Size() || p.Digest != recipe.Root() && !p.Digest.IsZero()) {
			return nil, fmt.Errorf("the recipe in %s is not that of the manifest: %w", local.RecipePath(c.image, name), errdefs.ErrDataLoss)
		}
	}
	return recipe, nil
}
