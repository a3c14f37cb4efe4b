// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/artifacts"
)

// A workingSet is the chunks of the pages part that a program needed until it
// was ready, in the order in which it needed them. It is only ever a hint.
//
// It is encoded as
//
//	 8 bytes  "ATEOMWS1"
//	32 bytes  root of the recipe whose chunks it counts
//	then      for each chunk, how far it is from the one before, as a
//	          zigzag varint (encoding/binary); the first one counts from -1
type workingSet struct {
	root   artifacts.Digest
	chunks []int
}

const (
	workingSetMagic = "ATEOMWS1"
	// maxWorkingSet bounds an encoded record: 1 GiB of 64 KiB chunks, each far
	// from the last, takes less than 64 KiB.
	maxWorkingSet = 8 << 20
)

func (w *workingSet) encode() []byte {
	b := append([]byte(workingSetMagic), w.root[:]...)
	last := -1
	for _, i := range w.chunks {
		b = binary.AppendVarint(b, int64(i-last))
		last = i
	}
	return b
}

// decodeWorkingSet reads a record for r. Chunks that r does not have make it
// ErrInvalidArgument, as does a record of other bytes.
func decodeWorkingSet(b []byte, r *artifacts.Recipe) (*workingSet, error) {
	head := len(workingSetMagic) + digestBytes
	if len(b) < head || len(b) > maxWorkingSet || string(b[:len(workingSetMagic)]) != workingSetMagic {
		return nil, fmt.Errorf("decode working set: it is none: %w", errdefs.ErrInvalidArgument)
	}
	w := &workingSet{root: artifacts.Digest(b[len(workingSetMagic):head])}
	if w.root != r.Root() {
		return nil, fmt.Errorf("decode working set: it is of a part with root %s: %w", w.root, errdefs.ErrInvalidArgument)
	}
	last := int64(-1)
	for b = b[head:]; len(b) > 0; {
		d, n := binary.Varint(b)
		if n <= 0 || d < -int64(r.Len()) || d > int64(r.Len()) {
			return nil, fmt.Errorf("decode working set: malformed: %w", errdefs.ErrInvalidArgument)
		}
		last += d
		b = b[n:]
		if last < 0 || last >= int64(r.Len()) || len(w.chunks) >= r.Len() {
			return nil, fmt.Errorf("decode working set: chunk %d of %d: %w", last, r.Len(), errdefs.ErrInvalidArgument)
		}
		w.chunks = append(w.chunks, int(last))
	}
	return w, nil
}

// A recorder notes the chunks that are waited for until it is told to stop.
type recorder struct {
	mu      sync.Mutex
	stopped bool
	seen    map[int]bool
	chunks  []int
}

func newRecorder() *recorder { return &recorder{seen: make(map[int]bool)} }

// need notes that chunk i is waited for.
func (r *recorder) need(i int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.stopped && !r.seen[i] {
		r.seen[i] = true
		r.chunks = append(r.chunks, i)
	}
}

// stop ends the record and returns it; later calls return nothing.
func (r *recorder) stop() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return nil
	}
	r.stopped = true
	r.seen = nil
	return r.chunks
}
