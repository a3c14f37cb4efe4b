// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/artifacts"
)

// A source yields the chunks of one part. Its methods are called from many
// goroutines, close but once and last.
type source interface {
	// recipe of the part.
	recipe() *artifacts.Recipe
	// readChunk fills p, which is as long as chunk i, with the bytes of that
	// chunk. They have been compared with the recipe: the error is ErrDataLoss
	// for others. Zero chunks are not asked for.
	readChunk(ctx context.Context, i int, p []byte) error
	// parallel is how many readChunk calls are worth having at a time.
	parallel() int
	// polite is how many more calls are worth having for reads that nobody waits
	// for, at a low priority: those that mostly compute. With 0 they take turns
	// with the others, behind them.
	polite() int
	// depth is how many reads runsc may have under way: enough to keep the
	// source busy, few enough that what is waited for gets its turn.
	depth() int
	// prefetch says that these chunks will be read soon, the first one first. It
	// does not wait for them.
	prefetch(chunks []int)
	close() error
}

// checkChunk compares the bytes of chunk i with its recipe.
func checkChunk(c artifacts.Chunk, p []byte) error {
	if digestOf(p) != c.Digest {
		return fmt.Errorf("verify chunk at %d: its bytes are not %s: %w", c.Offset, c.Digest, errdefs.ErrDataLoss)
	}
	return nil
}
