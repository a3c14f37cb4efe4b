// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/artifacts"
)

// A localSource reads chunks from an image file.
type localSource struct {
	f      *os.File
	direct *os.File // the same file, read around the page cache; nil if it cannot be
	r      *artifacts.Recipe
	status *status
	// window is the number of the stretch of readAhead bytes read from last.
	window atomic.Int64
	// ways says how the bytes of each stretch are read.
	ways []atomic.Int32
}

// The ways to read a stretch. What is not in the page cache by the time it is
// needed is read around it: a restored sandbox has the bytes in memory of its
// own, and to find as much memory again for a copy costs more than to read it
// (see imageFile). What is in it is taken from there.
const (
	unknown int32 = iota
	cached
	direct
)

// directReads are under way at a time, since each waits for the disk.
const directReads = 16

// readAhead is how far ahead the disk is kept busy. Few workers read, each
// waiting for what it reads: left to itself a disk that could do ten reads at a
// time would do two.
const readAhead = 8 << 20

// newLocalSource reads the part with recipe r from f, which it owns.
func newLocalSource(f *os.File, r *artifacts.Recipe, st *status) *localSource {
	s := &localSource{f: f, direct: openDirect(f, os.O_RDONLY), r: r, status: st, ways: make([]atomic.Int32, r.Size()/readAhead+1)}
	s.window.Store(-1)
	return s
}

func (s *localSource) recipe() *artifacts.Recipe { return s.r }

func (s *localSource) readChunk(_ context.Context, i int, p []byte) error {
	c := s.r.Chunk(i)
	if err := s.read(p, c.Offset); err != nil {
		return fmt.Errorf("read %s at %d: %w", s.f.Name(), c.Offset, err)
	}
	s.status.fetched(int64(len(p)))
	return checkChunk(c, p)
}

// read fills p, which begins at a multiple of pageSize in memory.
func (s *localSource) read(p []byte, off int64) error {
	w := off / readAhead
	if len(p)%pageSize == 0 && off%pageSize == 0 && s.way(w) == direct {
		n, err := s.direct.ReadAt(p, off)
		if n == len(p) || !errors.Is(err, unix.EINVAL) {
			return err
		}
		s.ways[w].Store(cached) // this disk wants other alignments
	}
	if s.window.Swap(w) != w {
		// A hint, which costs little where all is in the page cache.
		_ = unix.Fadvise(int(s.f.Fd()), off, 2*readAhead, unix.FADV_WILLNEED)
	}
	_, err := s.f.ReadAt(p, off)
	return err
}

// way decides how stretch w is read, once: directly if most of it is not in the
// page cache.
func (s *localSource) way(w int64) int32 {
	if way := s.ways[w].Load(); way != unknown {
		return way
	}
	way := cached
	if s.direct != nil {
		var in unix.Cachestat_t
		err := unix.Cachestat(uint(s.f.Fd()), &unix.CachestatRange{Off: uint64(w * readAhead), Len: readAhead}, &in, 0)
		// A kernel before 6.5 does not tell.
		if err == nil && in.Cache*pageSize < readAhead/2 {
			way = direct
		}
	}
	s.ways[w].Store(way)
	return way
}

func (s *localSource) parallel() int { return runtime.GOMAXPROCS(0) }

func (s *localSource) polite() int { return directReads }

// depth is 4 MiB: a few milliseconds of work.
func (s *localSource) depth() int { return 4 << 20 / restoreBytes }

// prefetch has the kernel read the chunks into the page cache.
func (s *localSource) prefetch(chunks []int) {
	for _, i := range chunks {
		c := s.r.Chunk(i)
		if s.way(c.Offset/readAhead) == direct {
			continue
		}
		// A hint: what it does not bring is read when it is needed.
		_ = unix.Fadvise(int(s.f.Fd()), c.Offset, int64(c.Length), unix.FADV_WILLNEED)
	}
}

func (s *localSource) close() error {
	if s.direct != nil {
		s.direct.Close()
	}
	return s.f.Close()
}
