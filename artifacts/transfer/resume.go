// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"bytes"
	"context"
	"sync/atomic"
	"time"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
)

// A packSender sends packs, but those that an interrupted commit of the same
// chunks has sent already: packs are named by their content, so the store is
// the journal, and the commit may be resumed by another process, or node.
// There is no journal file that could be lost, or lie.
//
// Such a pack is believed only while it is so young that no sweep can take it
// before this commit ends. Asking costs a request a pack, so the sender stops
// to ask when nobody seems to have been here before.
type packSender struct {
	store  bucket.Store
	misses atomic.Int32
}

const (
	// maxMisses is how many packs in a row must be missing before the sender
	// no longer asks: an interrupted commit leaves gaps of at most what it had
	// in flight.
	maxMisses = packsInFlight + 2
	// maxResumeAge is how old a pack may be; it leaves half of what the grace
	// gives beyond a commit's own time to clocks that differ.
	maxResumeAge = (DefaultGrace - MaxCommit) / 2
)

// send puts one pack into the store, unless it is there.
func (s *packSender) send(ctx context.Context, name artifacts.Pack, data []byte) error {
	if s.isThere(ctx, name, int64(len(data))) {
		return nil
	}
	return s.store.Put(ctx, artifacts.PackKey(name.Digest), bytes.NewReader(data), int64(len(data)))
}

// isThere says whether a pack of that size need not be sent.
func (s *packSender) isThere(ctx context.Context, name artifacts.Pack, size int64) bool {
	if s.misses.Load() >= maxMisses {
		return false
	}
	info, err := s.store.Stat(ctx, artifacts.PackKey(name.Digest))
	if err == nil && info.Size == size && time.Since(info.ModTime) < maxResumeAge {
		s.misses.Store(0)
		return true
	}
	s.misses.Add(1) // an error shows again when the pack is sent
	return false
}
