// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

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

// A localSource reads chunks from an image file.
type localSource struct {
	f       *os.File
	r       *artifacts.Recipe
	workers int
	status  *status
	// window is the number of the stretch of readAhead bytes read from last.
	window atomic.Int64
}

// readAhead is how far ahead the disk is kept busy. Few workers read, each
// waiting for what it reads: left to itself a disk that could do ten reads at a
// time would do two.
const readAhead = 8 << 20

// newLocalSource reads the part with recipe r from f, which it owns.
func newLocalSource(f *os.File, r *artifacts.Recipe, st *status) *localSource {
	s := &localSource{f: f, r: r, workers: runtime.GOMAXPROCS(0), status: st}
	s.window.Store(-1)
	return s
}

func (s *localSource) recipe() *artifacts.Recipe { return s.r }

func (s *localSource) readChunk(_ context.Context, i int, p []byte) error {
	c := s.r.Chunk(i)
	if w := c.Offset / readAhead; s.window.Swap(w) != w {
		// A hint, which costs little where all is in the page cache.
		_ = unix.Fadvise(int(s.f.Fd()), c.Offset, 2*readAhead, unix.FADV_WILLNEED)
	}
	if _, err := s.f.ReadAt(p, c.Offset); err != nil {
		return fmt.Errorf("read %s at %d: %w", s.f.Name(), c.Offset, err)
	}
	s.status.fetched(int64(len(p)))
	return checkChunk(c, p)
}

func (s *localSource) parallel() int { return s.workers }

func (s *localSource) polite() int { return s.workers }

// depth is 4 MiB: a few milliseconds of work.
func (s *localSource) depth() int { return 4 << 20 / restoreBytes }

// prefetch has the kernel read the chunks into the page cache.
func (s *localSource) prefetch(chunks []int) {
	for _, i := range chunks {
		c := s.r.Chunk(i)
		// A hint: what it does not bring is read when it is needed.
		_ = unix.Fadvise(int(s.f.Fd()), c.Offset, int64(c.Length), unix.FADV_WILLNEED)
	}
}

func (s *localSource) close() error { return s.f.Close() }
