// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"fmt"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/ateom/ateom/artifacts/bucket/sealed"
	"github.com/ateom/ateom/artifacts/pack"
	"golang.org/x/sync/errgroup"
)

// packsInFlight bounds the packs that are filled or on their way, and by that
// the memory of a commit: about 9 MiB each.
const packsInFlight = 6

// A packer fills the packs of one commit and sends them, several parts at the
// same time.
type packer struct {
	sender packSender
	salt   []byte
	free   chan *pack.Builder
}

func newPacker(s bucket.Store) *packer {
	p := &packer{sender: packSender{store: s}, salt: sealed.Salt(s), free: make(chan *pack.Builder, packsInFlight)}
	for range packsInFlight {
		p.free <- new(pack.Builder)
	}
	return p
}

// fill puts the batches' chunks into packs, in order, and sends each pack that
// is full while it fills the next. placed gets the entries of all packs, and
// recipe, if it is not nil, all chunks.
func (pk *packer) fill(ctx context.Context, ordered <-chan *batch, recipe *artifacts.Recipe, placed map[artifacts.Pack][]pack.Entry, p *Meter) error {
	group, ctx := errgroup.WithContext(ctx)
	f := filler{packer: pk, ctx: ctx, group: group, recipe: recipe, placed: placed, packed: map[artifacts.Digest]bool{}, meter: p}
	err := f.run(ordered)
	if waitErr := group.Wait(); waitErr != nil {
		return waitErr
	}
	return err
}

// A filler is one call of fill.
type filler struct {
	*packer
	ctx    context.Context
	group  *errgroup.Group
	recipe *artifacts.Recipe
	placed map[artifacts.Pack][]pack.Entry
	packed map[artifacts.Digest]bool
	meter  *Meter
	open   *pack.Builder
}

func (f *filler) run(ordered <-chan *batch) error {
	for b := range ordered {
		select {
		case <-b.done:
		case <-f.ctx.Done():
			return f.ctx.Err()
		}
		if err := f.add(b); err != nil {
			return err
		}
	}
	if f.open != nil {
		f.send()
	}
	return nil
}

// add puts the chunks of a batch into packs.
func (f *filler) add(b *batch) error {
	stored := b.stored
	for i, c := range b.chunks {
		if f.recipe != nil {
			if err := f.recipe.Append(c.Length, c.Digest); err != nil {
				return err
			}
		}
		if b.stored == nil || b.lengths[i] == 0 {
			f.meter.add(int64(c.Length)) // the store has it
			continue
		}
		data := stored[:b.lengths[i]]
		stored = stored[b.lengths[i]:]
		if f.packed[c.Digest] {
			f.meter.add(int64(c.Length))
			continue
		}
		f.packed[c.Digest] = true
		if f.open == nil {
			select {
			case f.open = <-f.free:
			case <-f.ctx.Done():
				return f.ctx.Err()
			}
			addSalt(f.open, f.salt)
		}
		f.open.Add(c.Digest, c.Length, data, b.codecs[i])
		if f.open.Full() {
			f.send()
		}
	}
	if whole := b.stored; whole != nil {
		b.stored = nil
		storedBuffers.Put(&whole)
	}
	return nil
}

// send sends the open pack.
func (f *filler) send() {
	b := f.open
	f.open = nil
	name, data := b.Finish()
	f.placed[name] = append([]pack.Entry(nil), b.Entries()...)
	f.group.Go(func() error {
		if err := f.sender.send(f.ctx, name, data); err != nil {
			return fmt.Errorf("send pack: %w", err)
		}
		for _, e := range b.Entries() {
			f.meter.add(int64(e.Length))
		}
		b.Reset()
		f.free <- b
		return nil
	})
}

// addSalt puts the salt of an encrypted store into a pack as a chunk of its
// own, so that the pack's name cannot confirm a guess of its content.
func addSalt(b *pack.Builder, salt []byte) {
	if salt != nil {
		b.Add(digestOf(salt), uint32(len(salt)), salt, artifacts.CodecRaw)
	}
}
