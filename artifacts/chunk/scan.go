// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package chunk

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/ateom/ateom/artifacts"
	"golang.org/x/sync/errgroup"
)

// blockSize is how much Scan reads at a time, in bytes; a few such blocks a
// processor are all the memory it takes.
const blockSize = 1 << 20

// Scan reads size bytes from r, cuts them and returns their recipe. Hashing
// runs on all processors; the recipe depends on the bytes and the cutter only.
// progress, if not nil, is told the bytes read so far, from one goroutine.
func Scan(ctx context.Context, r io.ReaderAt, size int64, cut Cutter, progress func(int64)) (*artifacts.Recipe, error) {
	workers := runtime.GOMAXPROCS(0)
	group, ctx := errgroup.WithContext(ctx)
	queue := make(chan *block, workers)   // to be hashed, by anybody
	ordered := make(chan *block, workers) // to be appended, in order
	recipe := new(artifacts.Recipe)

	group.Go(func() error {
		defer close(queue)
		defer close(ordered)
		return readBlocks(ctx, r, size, cut, func(b *block) error {
			for _, c := range []chan *block{ordered, queue} {
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
			for b := range queue {
				b.hash()
			}
			return nil
		})
	}
	group.Go(func() error {
		for b := range ordered {
			select {
			case <-b.hashed:
			case <-ctx.Done():
				return ctx.Err()
			}
			if err := b.appendTo(recipe); err != nil {
				return err
			}
			if progress != nil {
				progress(recipe.Size())
			}
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("scan: %w", err)
	}
	return recipe, nil
}

// buffers are used again: a block, and what was left of the one before.
var buffers = sync.Pool{New: func() any {
	b := make([]byte, blockSize+MaxSpan)
	return &b
}}

// A block is a run of whole chunks.
type block struct {
	data    []byte
	spans   []Span
	digests []artifacts.Digest
	hashed  chan struct{}
}

func (b *block) hash() {
	data := b.data
	for _, s := range b.spans {
		var d artifacts.Digest
		if !s.Zero {
			d = sha256.Sum256(data[:s.Length])
		}
		b.digests = append(b.digests, d)
		data = data[s.Length:]
	}
	whole := b.data
	b.data = nil
	buffers.Put(&whole)
	close(b.hashed)
}

func (b *block) appendTo(r *artifacts.Recipe) error {
	for i, s := range b.spans {
		if err := r.Append(uint32(s.Length), b.digests[i]); err != nil {
			return err
		}
	}
	return nil
}

// readBlocks reads r in blocks, cuts each and hands it over. What is left
// uncut at the end of a block begins the next one.
func readBlocks(ctx context.Context, r io.ReaderAt, size int64, cut Cutter, emit func(*block) error) error {
	var rest []byte
	for off := int64(0); off < size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(blockSize, size-off)
		data := (*buffers.Get().(*[]byte))[:len(rest)+int(n)]
		copy(data, rest)
		if got, err := r.ReadAt(data[len(rest):], off); got < int(n) {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("read %d bytes at %d: %w", n, off, err)
		}
		off += n
		b := &block{data: data, hashed: make(chan struct{})}
		left := data
		for {
			s, ok := cut.Next(left, off == size)
			if !ok {
				break
			}
			b.spans = append(b.spans, s)
			left = left[s.Length:]
		}
		// The block's memory is given back once it is hashed.
		rest = append(rest[:0], left...)
		if len(b.spans) == 0 {
			buffers.Put(&data)
			continue
		}
		if err := emit(b); err != nil {
			return err
		}
	}
	return nil
}
