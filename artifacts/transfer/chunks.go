// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"fmt"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/ateom/ateom/artifacts/pack"
)

// ReadChunk fills dst, which is as long as chunk i of the located recipe r,
// and compares it with the recipe. A chunk of zeros takes no read. The error
// names the pack.
func ReadChunk(ctx context.Context, s bucket.Store, r *artifacts.Recipe, i int, dst []byte) error {
	c := r.Chunk(i)
	if c.Zero() {
		clear(dst)
		return nil
	}
	l := r.Location(i)
	stored := dst
	if l.Codec != artifacts.CodecRaw {
		stored = make([]byte, l.StoredLength)
	}
	if err := bucket.ReadRange(ctx, s, artifacts.PackKey(l.Pack.Digest), int64(l.Offset), stored); err != nil {
		return fmt.Errorf("read chunk: %w", lostIfGone(err))
	}
	return unpack(s, dst, stored, l, c)
}

// unpack decodes one chunk and says which object is to blame if it is not
// what it should be.
func unpack(s bucket.Store, dst, stored []byte, l artifacts.Location, c artifacts.Chunk) error {
	if err := pack.Decompress(dst, stored, l.Codec, c.Digest); err != nil {
		return fmt.Errorf("object %s in store %s, bytes %d+%d: %w", artifacts.PackKey(l.Pack.Digest), s, l.Offset, l.StoredLength, err)
	}
	return nil
}

// A span is a stretch of one pack that one request reads: the chunks
// order[first:last] of a plan.
type span struct {
	pack        artifacts.Pack
	start, end  uint32
	first, last int
}

// What one request reads: neighbours, across gaps that are cheaper to read
// than a second request, up to a size that bounds memory.
const (
	maxGap  = 64 << 10
	maxSpan = 4 << 20
)
