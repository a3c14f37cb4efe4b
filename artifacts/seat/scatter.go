// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import "gvisor.dev/gvisor/pkg/sentry/memmap"

// A scatter writes a run of bytes to ranges of a client file, in order. The
// ranges together are as long as all that is written; they are not changed.
type scatter struct {
	file *clientFile
	// politely is how memory is claimed.
	politely bool
	frs      []memmap.FileRange
	done     uint64 // of frs[0]
}

// next returns where the next n bytes or fewer go.
func (s *scatter) next(n int) (off uint64, room int) {
	left := s.frs[0].Length() - s.done
	off = s.frs[0].Start + s.done
	room = int(min(uint64(n), left))
	s.done += uint64(room)
	if s.done == s.frs[0].Length() {
		s.frs, s.done = s.frs[1:], 0
	}
	return off, room
}

// write puts p in place.
func (s *scatter) write(p []byte) error {
	var to []stretch
	for left := len(p); left > 0; {
		off, n := s.next(left)
		to = append(to, stretch{off: off, n: uint64(n)})
		left -= n
	}
	if len(to) == 0 {
		return nil
	}
	if err := s.file.claim(to, s.politely); err != nil {
		return err
	}
	for _, t := range to {
		if err := s.file.write(p[:t.n], t.off); err != nil {
			return err
		}
		p = p[t.n:]
	}
	return nil
}

// skip leaves n bytes as they are.
func (s *scatter) skip(n int) {
	for n > 0 {
		_, room := s.next(n)
		n -= room
	}
}
