// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package sealed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"filippo.io/age"
	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/artifacts/bucket"
)

// The layout of an age file for one X25519 key: a header of fixed size (with
// the payload's nonce), then segments of 64 KiB, each with a tag. The last
// segment may be short, and is empty only in an empty file.
const (
	headerSize  = 184
	segmentSize = 64 << 10
	tagSize     = 16
)

// sealedSize returns the size of the age file of n bytes.
func sealedSize(n int64) int64 {
	segments := max(1, (n+segmentSize-1)/segmentSize)
	return headerSize + n + segments*tagSize
}

// plainSize is the inverse of sealedSize; it is 0 for what no age file has.
func plainSize(n int64) int64 {
	n -= headerSize
	segments := (n + segmentSize + tagSize - 1) / (segmentSize + tagSize)
	return max(0, n-segments*tagSize)
}

// getRange reads the segments that the range touches with one request. The
// first time an object is read, two more bring its ends, which age needs to
// authenticate its size.
func (s *Store) getRange(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	e, err := s.objectEnds(ctx, key)
	if err != nil {
		return nil, err
	}
	plain := plainSize(e.size)
	if offset >= plain {
		return io.NopCloser(bytes.NewReader(nil)), nil
	}
	end := plain
	if length >= 0 {
		end = min(end, offset+length)
	}
	first, last := offset/segmentSize, (max(offset, end-1))/segmentSize
	start := headerSize + first*(segmentSize+tagSize)
	window := make([]byte, min(e.size, headerSize+(last+1)*(segmentSize+tagSize))-start)
	if err := bucket.ReadRange(ctx, s.Store, key, start, window); err != nil {
		s.ends.forget(key) // another object may be there by now
		return nil, err
	}
	src := &pieces{list: []piece{{start, window}, {0, e.head}, {e.size - int64(len(e.tail)), e.tail}}}
	r, _, err := age.DecryptReaderAt(src, e.size, s.identities...)
	if err != nil {
		s.ends.forget(key)
		return nil, s.explain(ctx, key, err)
	}
	explain := func(err error) error {
		s.ends.forget(key)
		return s.explain(ctx, key, err)
	}
	return &reader{r: io.NewSectionReader(r, offset, end-offset), c: io.NopCloser(nil), explain: explain}, nil
}

// ends are the first and the last bytes of an object, and its size.
type ends struct {
	size       int64
	head, tail []byte
}

// objectEnds returns the ends of an object, from the cache or the store.
func (s *Store) objectEnds(ctx context.Context, key string) (*ends, error) {
	if e := s.ends.get(key); e != nil {
		return e, nil
	}
	info, err := s.Store.Stat(ctx, key)
	if err != nil {
		return nil, err
	}
	if info.Size < headerSize+tagSize {
		return nil, s.explain(ctx, key, fmt.Errorf("it has only %d bytes", info.Size))
	}
	e := &ends{size: info.Size, head: make([]byte, headerSize)}
	if err := bucket.ReadRange(ctx, s.Store, key, 0, e.head); err != nil {
		return nil, err
	}
	segments := (info.Size - headerSize + segmentSize + tagSize - 1) / (segmentSize + tagSize)
	start := headerSize + (segments-1)*(segmentSize+tagSize)
	e.tail = make([]byte, info.Size-start)
	if err := bucket.ReadRange(ctx, s.Store, key, start, e.tail); err != nil {
		return nil, err
	}
	s.ends.put(key, e)
	return e, nil
}

// pieces is the parts of an object that are in memory.
type pieces struct{ list []piece }

type piece struct {
	start int64
	data  []byte
}

var errOutside = errors.New("outside of what was read")

// ReadAt implements io.ReaderAt. A read may go across pieces that touch.
func (p *pieces) ReadAt(b []byte, off int64) (int, error) {
	n := 0
	for n < len(b) {
		m := 0
		for _, piece := range p.list {
			at := off + int64(n) - piece.start
			if at >= 0 && at < int64(len(piece.data)) {
				m = copy(b[n:], piece.data[at:])
				break
			}
		}
		if m == 0 {
			if n > 0 || off >= p.list[2].start+int64(len(p.list[2].data)) {
				return n, io.EOF
			}
			return 0, fmt.Errorf("read at %d: %w: %w", off, errOutside, errdefs.ErrInternal)
		}
		n += m
	}
	return n, nil
}

// maxEnds bounds the cache: each entry has up to 64 KiB.
const maxEnds = 256

// An endCache keeps the ends of the objects that were read last.
type endCache struct {
	mu    sync.Mutex
	byKey map[string]*ends
	order []string
}

func newEndCache() *endCache { return &endCache{byKey: map[string]*ends{}} }

func (c *endCache) get(key string) *ends {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byKey[key]
}

func (c *endCache) put(key string, e *ends) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byKey[key] == nil {
		if len(c.order) >= maxEnds {
			delete(c.byKey, c.order[0])
			c.order = c.order[1:]
		}
		c.order = append(c.order, key)
	}
	c.byKey[key] = e
}

func (c *endCache) forget(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byKey[key] == nil {
		return
	}
	delete(c.byKey, key)
	for i, k := range c.order {
		if k == key {
			c.order = append(c.order[:i:i], c.order[i+1:]...)
			break
		}
	}
}
