// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import "context"

// verbRestore is what the journal, the log and Status call the start of a new
// task from a snapshot. No client asks for it by that name: it begins with the
// Create that names the snapshot, and ends with the Start with which all of it has
// come back. A pod has several of both, and the time between them counts too: it is
// what whoever waits for the task waits for.
const verbRestore verb = "Restore"

// comingBack says whether a Restore is under way, or has failed and is about to be
// tried again. Whoever asks has the turn.
func (s *sandbox) comingBack() bool { return s.restore != nil || !s.hasComeBack() }

// hasComeBack says whether all of the snapshot that the sandbox starts from has
// been handed over, if it starts from one.
func (s *sandbox) hasComeBack() bool { return !s.restoring() && len(s.unfilled()) == 0 }

// goOnRestoring makes a request a part of the Restore under way, or begins one with
// it. w was started with the request; the stopwatch that is returned goes on.
func (s *sandbox) goOnRestoring(w *stopwatch) *stopwatch {
	if s.restore == nil {
		s.restore = w
	} else {
		s.restore.join(w)
	}
	return s.restore
}

// markRestore ends the present phase of the Restore under way, if there is one.
func (s *sandbox) markRestore(name string) {
	if s.restore != nil {
		s.restore.mark(name)
	}
}

// noteOrigin lets the Restore under way, if there is one, tell of its snapshot.
func (s *sandbox) noteOrigin() {
	if s.restore != nil && s.origin != nil {
		s.restore.snapshot = s.origin.manifest
	}
}

// endRestore tells of the Restore that has ended, well or not.
func (s *sandbox) endRestore(ctx context.Context, err error) {
	s.noteOrigin()
	w := s.restore
	s.restore = nil
	s.ended(ctx, verbRestore, w, err)
}
