// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"crypto/sha256"
	"fmt"
	"sync"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/chunk"
	"github.com/containerd/errdefs"
)

// A segmenter is a durabledir.Segmenter that cuts a volume's archive into
// chunks, each segment by itself, and hands them over in batches. Segments of
// the previous archive are taken from its recipe.
type segmenter struct {
	part     string
	cut      *chunk.Content
	previous *artifacts.Recipe // nil where nothing is reused
	emit     func(*batch) error

	stretch stretch
	cutTo   int // bytes of the stretch that are in its spans
}

// A stretch is a piece of a stream, cut and not yet hashed.
type stretch struct {
	data  []byte
	spans []chunk.Span
}

// stretchBuffers are used again by stretches.
var stretchBuffers = sync.Pool{New: func() any { return new([]byte) }}

// room returns an empty buffer of capacity n at least.
func room(n int) []byte {
	b := *stretchBuffers.Get().(*[]byte)
	if cap(b) < n {
		b = make([]byte, 0, n)
	}
	return b[:0]
}

// Write implements io.Writer.
func (s *segmenter) Write(p []byte) (int, error) {
	written := len(p)
	for len(p) > 0 {
		if s.stretch.data == nil {
			s.stretch.data = room(batchSize + s.cut.Max())
		}
		n := min(len(p), cap(s.stretch.data)-len(s.stretch.data))
		s.stretch.data = append(s.stretch.data, p[:n]...)
		p = p[n:]
		if err := s.advance(false); err != nil {
			return 0, err
		}
	}
	return written, nil
}

// advance cuts what can be cut, all of it if the segment ends.
func (s *segmenter) advance(last bool) error {
	for {
		span, ok := s.cut.Next(s.stretch.data[s.cutTo:], last)
		if !ok {
			break
		}
		s.stretch.spans = append(s.stretch.spans, span)
		s.cutTo += span.Length
	}
	if s.cutTo < batchSize {
		return nil
	}
	return s.ship()
}

// ship hands over what is cut and keeps what is not.
func (s *segmenter) ship() error {
	if len(s.stretch.spans) == 0 {
		return nil
	}
	full := s.stretch
	rest := append(room(batchSize+s.cut.Max()), full.data[s.cutTo:]...)
	s.stretch, s.cutTo = stretch{data: rest}, 0
	return s.emit(&batch{part: s.part, stream: &full})
}

// Cut implements durabledir.Segmenter.
func (s *segmenter) Cut() error { return s.advance(true) }

// Reuse implements durabledir.Segmenter.
func (s *segmenter) Reuse(offset, length int64) error {
	if err := s.ship(); err != nil {
		return err
	}
	chunks, err := cover(s.previous, offset, length)
	if err != nil {
		return err
	}
	return s.emit(&batch{part: s.part, chunks: chunks})
}

// end hands over what is left.
func (s *segmenter) end() error {
	if err := s.advance(true); err != nil {
		return err
	}
	return s.ship()
}

// cover returns the chunks that a range consists of. It begins and ends where
// chunks do, but for runs of zeros.
func cover(r *artifacts.Recipe, offset, length int64) ([]artifacts.Chunk, error) {
	var chunks []artifacts.Chunk
	for end := offset + length; offset < end; {
		i, ok := r.Find(offset)
		if !ok {
			return nil, fmt.Errorf("reuse bytes up to %d of %d: %w", end, r.Size(), errdefs.ErrInternal)
		}
		c := r.Chunk(i)
		next := min(end, c.Offset+int64(c.Length))
		if !c.Zero() && (offset != c.Offset || next != c.Offset+int64(c.Length)) {
			return nil, fmt.Errorf("reuse bytes %d to %d: chunk %d+%d is only in part there: %w", offset, end, c.Offset, c.Length, errdefs.ErrInternal)
		}
		chunks = append(chunks, artifacts.Chunk{Offset: offset, Length: uint32(next - offset), Digest: c.Digest})
		offset = next
	}
	return chunks, nil
}

// compressStream hashes the batch's stretch and compresses what v does not know.
func (b *batch) compressStream(v *view) {
	data := b.stream.data
	for _, s := range b.stream.spans {
		piece := data[:s.Length]
		data = data[s.Length:]
		c := artifacts.Chunk{Length: uint32(s.Length)}
		if !s.Zero {
			c.Digest = sha256.Sum256(piece)
		}
		b.chunks = append(b.chunks, c)
		if _, known := v.find(c.Digest); known || c.Zero() {
			b.lengths, b.codecs = append(b.lengths, 0), append(b.codecs, artifacts.CodecRaw)
			continue
		}
		b.store(piece)
	}
	whole := b.stream.data
	b.stream = nil
	stretchBuffers.Put(&whole)
}
