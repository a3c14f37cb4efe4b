// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ateom/ateom/artifacts/chunk"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/containerd/errdefs"
)

// sums cuts a part as the save has cut it, and compares what it sees with what
// the save saw. It implements chunk.Cutter.
type sums struct {
	left []job.Sum
	off  int64 // of left[0]
	// bad is the first difference.
	bad error
}

var _ chunk.Cutter = (*sums)(nil)

// readSums returns those that a save has left in the draft in dir; nil if there are none.
func readSums(dir, part string) (*sums, error) {
	b, err := os.ReadFile(filepath.Join(dir, job.SumsFile(part)))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read sums of chunks: %w", err)
	}
	all, err := job.DecodeSums(b)
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		if s.Length == 0 || s.Length > chunk.MaxSpan {
			return nil, fmt.Errorf("read sums of chunks: a chunk of %d bytes: %w", s.Length, errdefs.ErrDataLoss)
		}
	}
	return &sums{left: all}, nil
}

// Next implements chunk.Cutter. What differs is cut somehow: check tells.
func (s *sums) Next(p []byte, last bool) (chunk.Span, bool) {
	if len(p) == 0 {
		return chunk.Span{}, false
	}
	if len(s.left) == 0 || last && len(p) < int(s.left[0].Length) {
		s.differ("the file is of another size")
		return chunk.Span{Length: min(len(p), chunk.MaxSpan)}, true
	}
	want := s.left[0]
	if len(p) < int(want.Length) {
		return chunk.Span{}, false
	}
	p = p[:want.Length]
	if job.SumOf(p) != want {
		s.differ("the bytes have changed since they were saved")
	}
	s.left, s.off = s.left[1:], s.off+int64(want.Length)
	return chunk.Span{Length: len(p), Zero: chunk.IsZero(p)}, true
}

func (s *sums) differ(how string) {
	if s.bad == nil {
		s.bad = fmt.Errorf("at byte %d: %s: %w", s.off, how, errdefs.ErrDataLoss)
	}
}

// check reports whether all was what it was when it was saved.
func (s *sums) check() error {
	if s.bad == nil && len(s.left) > 0 {
		s.differ("the file is of another size")
	}
	return s.bad
}
