// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/chunk"
	"github.com/ateom/ateom/artifacts/local"
	"github.com/ateom/ateom/durabledir"
	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"
)

const (
	// maxPlain is the length of a tar stream up to which a volume is one plain
	// object, which any tool reads; longer ones are chunks.
	maxPlain = 64 << 20
	// tarWindow is how far back an archive's compression looks, in bytes. A
	// reader needs as much memory; maxTarWindow is what ours is willing to take.
	tarWindow    = 4 << 20
	maxTarWindow = 32 << 20
)

// sendVolumes sends the captured volumes, one after the other; small ones are
// on their way while the next are compressed.
func (c *Commit) sendVolumes(ctx context.Context, p *Meter) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i := range c.volumes {
		v := &c.volumes[i]
		if err := c.sendVolume(ctx, group, v, p); err != nil {
			return errors.Join(fmt.Errorf("send volume %q: %w", v.Name, err), group.Wait())
		}
	}
	return group.Wait()
}

// sendVolume sends one volume; what it leaves to group may still be on its way
// when it returns.
func (c *Commit) sendVolume(ctx context.Context, group *errgroup.Group, v *volume, p *Meter) error {
	size, err := v.pass.Size()
	if err != nil {
		return err
	}
	p.grow(size)
	var part artifacts.Part
	var report durabledir.Report
	if size > c.maxPlain {
		part, report, err = c.sendChunked(ctx, v, size, p)
	} else {
		part, report, err = c.sendPlain(ctx, group, v, p)
	}
	if err != nil {
		return err
	}
	if part.Size != size {
		return fmt.Errorf("its archive has %d bytes and was to have %d: %w", part.Size, size, errdefs.ErrInternal)
	}
	part.Files = report.Files
	c.parts = append(c.parts, part)
	c.warnings = append(c.warnings, notes(v.Name, report)...)
	return nil
}

// sendChunked sends a volume's archive as chunks: those that the store has not.
func (c *Commit) sendChunked(ctx context.Context, v *volume, size int64, p *Meter) (part artifacts.Part, report durabledir.Report, err error) {
	recipe := new(artifacts.Recipe)
	s := &segmenter{part: artifacts.DurablePrefix + v.Name, cut: chunk.NewContent(size), previous: v.previous}
	if v.previous != nil {
		// What is reused is cut as it was; so is the rest then.
		s.cut = chunk.NewContent(v.previous.Size())
	}
	err = sendBatches(ctx, c.packs, c.known, p, recipe, func(ctx context.Context, emit func(*batch) error) (err error) {
		s.emit = emit
		if report, err = v.pass.Finish(ctx, s); err != nil {
			return err
		}
		return s.end()
	})
	if err != nil {
		return part, report, err
	}
	v.root = recipe.Root()
	part, err = c.sendRecipe(ctx, s.part, recipe)
	return part, report, err
}

// sendPlain compresses a volume's archive into a file and has group send it.
func (c *Commit) sendPlain(ctx context.Context, group *errgroup.Group, v *volume, p *Meter) (part artifacts.Part, _ durabledir.Report, err error) {
	part = artifacts.Part{Name: artifacts.DurablePrefix + v.Name, Encoding: artifacts.TarZstd}
	out, err := os.OpenFile(local.DurablePath(c.dir, v.Name), os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return part, durabledir.Report{}, err
	}
	defer func() {
		if err != nil {
			out.Close()
		}
	}()
	stored := &hashWriter{w: out, h: sha256.New()}
	encoder, err := zstd.NewWriter(stored, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(tarWindow))
	if err != nil {
		return part, durabledir.Report{}, err
	}
	plain := &hashWriter{w: encoder, h: sha256.New()}
	report, err := v.pass.Finish(ctx, &meteredWriter{ctx: ctx, w: plain, p: p})
	if closeErr := encoder.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return part, report, err
	}
	part.Size, part.Digest = plain.n, artifacts.Digest(plain.h.Sum(nil))
	part.StoredSize, part.StoredDigest = stored.n, artifacts.Digest(stored.h.Sum(nil))
	group.Go(func() error {
		defer out.Close()
		if err := c.store.Put(ctx, artifacts.VolumeKey(c.id, v.Name), out, part.StoredSize); err != nil {
			return fmt.Errorf("send volume %q: %w", v.Name, err)
		}
		return nil
	})
	return part, report, nil
}
