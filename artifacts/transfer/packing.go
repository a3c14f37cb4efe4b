// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/ateom/ateom/artifacts/bucket/sealed"
	"github.com/ateom/ateom/artifacts/pack"
	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"
)

const (
	// batchSize is how many bytes of chunks a worker compresses at a time.
	batchSize = 1 << 20
	// packsInFlight bounds the packs that are filled or on their way, and by
	// that the memory of a commit: about 9 MiB each.
	packsInFlight = 6
)

// An imagePart is a part in a local image file, with the recipe of its bytes.
type imagePart struct {
	name   string
	file   io.ReaderAt
	recipe *artifacts.Recipe
}

// sendChunks puts the chunks of parts that v does not know into packs, the
// packs into the store, and their places into v. Which chunks share a pack
// depends on the parts and v only. The memory it takes does not depend on the
// parts' sizes. Every chunk is compared with its digest on the way.
func sendChunks(ctx context.Context, s bucket.Store, parts []imagePart, v *view, p *Meter) error {
	group, ctx := errgroup.WithContext(ctx)
	workers := runtime.GOMAXPROCS(0)
	queue := make(chan *batch, workers)
	ordered := make(chan *batch, workers)
	group.Go(func() error {
		defer close(queue)
		defer close(ordered)
		return planBatches(parts, v, p, func(b *batch) error {
			for _, c := range []chan *batch{ordered, queue} {
				select {
				case c <- b:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return nil
		})
	})
	for range workers {
		group.Go(func() error {
			var chunk [artifacts.MaxChunkSize / 16]byte
			for b := range queue {
				if err := b.compress(chunk[:]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	placed := make(map[artifacts.Pack][]pack.Entry)
	group.Go(func() error { return fillPacks(ctx, s, ordered, placed, p) })
	if err := group.Wait(); err != nil {
		return err
	}
	for p, entries := range placed {
		for _, e := range entries {
			v.addChunk(e.Digest, artifacts.Location{Pack: p, Offset: e.Offset, StoredLength: e.StoredLength, Codec: e.Codec})
		}
	}
	return nil
}

// storedBuffers are used again by batches.
var storedBuffers = sync.Pool{New: func() any {
	b := make([]byte, 0, batchSize+batchSize/8)
	return &b
}}

// A batch is a run of chunks that are compressed together.
type batch struct {
	part    string
	file    io.ReaderAt
	chunks  []artifacts.Chunk
	size    int64
	stored  []byte // of all chunks, back to back
	lengths []int  // in stored
	codecs  []artifacts.Codec
	done    chan struct{}
}

// planBatches hands over the chunks that have to be sent, each digest once.
func planBatches(parts []imagePart, v *view, p *Meter, emit func(*batch) error) error {
	planned := map[artifacts.Digest]bool{}
	for _, part := range parts {
		b := &batch{part: part.name, file: part.file, done: make(chan struct{})}
		for i := range part.recipe.Len() {
			c := part.recipe.Chunk(i)
			if _, known := v.find(c.Digest); known || c.Zero() || planned[c.Digest] {
				p.add(int64(c.Length))
				continue
			}
			planned[c.Digest] = true
			b.chunks = append(b.chunks, c)
			if b.size += int64(c.Length); b.size >= batchSize {
				if err := emit(b); err != nil {
					return err
				}
				b = &batch{part: part.name, file: part.file, done: make(chan struct{})}
			}
		}
		if len(b.chunks) > 0 {
			if err := emit(b); err != nil {
				return err
			}
		}
	}
	return nil
}

// compress reads the batch's chunks, with buf for those that fit in, compares
// them with their digests and compresses them.
func (b *batch) compress(buf []byte) error {
	b.stored = (*storedBuffers.Get().(*[]byte))[:0]
	for _, c := range b.chunks {
		if int(c.Length) > len(buf) {
			buf = make([]byte, c.Length)
		}
		data := buf[:c.Length]
		if _, err := b.file.ReadAt(data, c.Offset); err != nil {
			return fmt.Errorf("read part %q at %d: %w", b.part, c.Offset, err)
		}
		if sha256.Sum256(data) != c.Digest {
			return fmt.Errorf("read part %q at %d: the bytes have changed since they were saved: %w", b.part, c.Offset, errdefs.ErrDataLoss)
		}
		before := len(b.stored)
		var codec artifacts.Codec
		b.stored, codec = pack.Compress(b.stored, data)
		b.lengths = append(b.lengths, len(b.stored)-before)
		b.codecs = append(b.codecs, codec)
	}
	close(b.done)
	return nil
}

// fillPacks puts the batches' chunks into packs, in order, and sends each pack
// that is full while it fills the next. placed gets the entries of all packs.
func fillPacks(ctx context.Context, s bucket.Store, ordered <-chan *batch, placed map[artifacts.Pack][]pack.Entry, p *Meter) error {
	group, ctx := errgroup.WithContext(ctx)
	free := make(chan *pack.Builder, packsInFlight)
	for range packsInFlight {
		free <- new(pack.Builder)
	}
	sender, salt := &packSender{store: s}, sealed.Salt(s)
	send := func(b *pack.Builder) {
		name, data := b.Finish()
		placed[name] = append([]pack.Entry(nil), b.Entries()...)
		group.Go(func() error {
			var size int64
			for _, e := range b.Entries() {
				size += int64(e.Length)
			}
			if err := sender.send(ctx, name, data); err != nil {
				return fmt.Errorf("send pack: %w", err)
			}
			p.add(size)
			b.Reset()
			free <- b
			return nil
		})
	}
	fill := func() error {
		var open *pack.Builder
		for b := range ordered {
			select {
			case <-b.done:
			case <-ctx.Done():
				return ctx.Err()
			}
			stored := b.stored
			for i, c := range b.chunks {
				if open == nil {
					select {
					case open = <-free:
					case <-ctx.Done():
						return ctx.Err()
					}
					addSalt(open, salt)
				}
				open.Add(c.Digest, c.Length, stored[:b.lengths[i]], b.codecs[i])
				stored = stored[b.lengths[i]:]
				if open.Full() {
					send(open)
					open = nil
				}
			}
			whole := b.stored
			b.stored = nil
			storedBuffers.Put(&whole)
		}
		if open != nil {
			send(open)
		}
		return nil
	}
	err := fill()
	if waitErr := group.Wait(); waitErr != nil {
		return waitErr
	}
	return err
}

// addSalt puts the salt of an encrypted store into a pack as a chunk of its
// own, so that the pack's name cannot confirm a guess of its content.
func addSalt(b *pack.Builder, salt []byte) {
	if salt != nil {
		b.Add(digestOf(salt), uint32(len(salt)), salt, artifacts.CodecRaw)
	}
}
