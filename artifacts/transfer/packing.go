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
	"github.com/ateom/ateom/artifacts/pack"
	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"
)

// batchSize is how many bytes of chunks a worker compresses at a time.
const batchSize = 1 << 20

// An imagePart is a part in a local image file, with the recipe of its bytes.
type imagePart struct {
	name   string
	file   io.ReaderAt
	recipe *artifacts.Recipe
}

// sendChunks puts the chunks of parts that v does not know into packs, the
// packs into the store, and their places into v. Every chunk is compared with
// its digest on the way.
func sendChunks(ctx context.Context, packs *packer, parts []imagePart, v *view, p *Meter) error {
	return sendBatches(ctx, packs, v, p, nil, func(_ context.Context, emit func(*batch) error) error {
		return planBatches(parts, v, p, emit)
	})
}

// sendBatches has the batches that produce emits compressed and put into packs,
// the packs into the store, and the chunks' places into v. Which chunks share a
// pack depends on the batches and v only, the memory it takes on neither. The
// chunks are appended to recipe, if it is not nil.
func sendBatches(ctx context.Context, packs *packer, v *view, p *Meter, recipe *artifacts.Recipe,
	produce func(ctx context.Context, emit func(*batch) error) error) error {
	group, ctx := errgroup.WithContext(ctx)
	workers := runtime.GOMAXPROCS(0)
	queue := make(chan *batch, workers)
	ordered := make(chan *batch, workers)
	group.Go(func() error {
		defer close(queue)
		defer close(ordered)
		return produce(ctx, func(b *batch) error {
			b.done = make(chan struct{})
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
				if err := b.compress(v, chunk[:]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	placed := make(map[artifacts.Pack][]pack.Entry)
	group.Go(func() error { return packs.fill(ctx, ordered, recipe, placed, p) })
	if err := group.Wait(); err != nil {
		return err
	}
	v.addPacks(placed)
	return nil
}

// storedBuffers are used again by batches.
var storedBuffers = sync.Pool{New: func() any {
	b := make([]byte, 0, batchSize+batchSize/8)
	return &b
}}

// A batch is a run of chunks that are compressed together: those of an image
// part, a stretch of a stream that is still to be hashed, or what is known to
// be in the store.
type batch struct {
	part   string
	chunks []artifacts.Chunk
	file   io.ReaderAt // of an image part
	stream *stretch    // of a stream

	stored  []byte // of all chunks, back to back
	lengths []int  // in stored; 0 for what the store has
	codecs  []artifacts.Codec
	done    chan struct{}
}

// planBatches hands over the chunks that have to be sent, each digest once.
func planBatches(parts []imagePart, v *view, p *Meter, emit func(*batch) error) error {
	planned := map[artifacts.Digest]bool{}
	for _, part := range parts {
		b, size := &batch{part: part.name, file: part.file}, int64(0)
		for i := range part.recipe.Len() {
			c := part.recipe.Chunk(i)
			if _, known := v.find(c.Digest); known || c.Zero() || planned[c.Digest] {
				p.add(int64(c.Length))
				continue
			}
			planned[c.Digest] = true
			b.chunks = append(b.chunks, c)
			if size += int64(c.Length); size >= batchSize {
				if err := emit(b); err != nil {
					return err
				}
				b, size = &batch{part: part.name, file: part.file}, 0
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

// compress makes the bytes of the batch's chunks that v does not know as they
// are to be stored.
func (b *batch) compress(v *view, buf []byte) error {
	switch {
	case b.stream != nil:
		b.compressStream(v)
	case b.file != nil:
		if err := b.compressFile(buf); err != nil {
			return err
		}
	}
	close(b.done)
	return nil
}

// compressFile reads the batch's chunks, with buf for those that fit in, and
// compares them with their digests.
func (b *batch) compressFile(buf []byte) error {
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
		b.store(data)
	}
	return nil
}

// store appends the bytes of the next chunk.
func (b *batch) store(data []byte) {
	if b.stored == nil {
		b.stored = (*storedBuffers.Get().(*[]byte))[:0]
	}
	before := len(b.stored)
	var codec artifacts.Codec
	b.stored, codec = pack.Compress(b.stored, data)
	b.lengths = append(b.lengths, len(b.stored)-before)
	b.codecs = append(b.codecs, codec)
}
