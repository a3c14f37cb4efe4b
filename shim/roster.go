// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"os"
	"time"

	"github.com/containerd/log"

	"github.com/ateom/ateom/shim/roster"
)

// noteState writes the settled state that the sandbox has come to into the
// node's roster, where it can be read while the shim sleeps. Whoever writes
// last reads the state last, so that the roster never lags behind.
func (s *sandbox) noteState() {
	s.noting.Lock()
	defer s.noting.Unlock()
	state := s.machine.state()
	if s.place == nil || !state.settled() || state == s.noted {
		return
	}
	entry := roster.Entry{Namespace: s.namespace, Sandbox: s.id, State: string(state), Since: time.Now().UTC(), PID: os.Getpid()}
	s.mu.Lock()
	if state == Paused && s.paused != nil {
		entry.Snapshot = s.paused.Manifest.ID
	}
	s.mu.Unlock()
	if err := s.place.Put(entry); err != nil {
		log.L.WithError(err).WithField("sandbox", s.id).Warn("note the sandbox's state")
		return
	}
	s.noted = state
}

// leaveRoster takes the sandbox off the roster; its directory goes next.
func (s *sandbox) leaveRoster() {
	s.noting.Lock()
	defer s.noting.Unlock()
	if s.place == nil {
		return
	}
	if err := s.place.Leave(); err != nil {
		log.L.WithError(err).Warn("leave the roster")
	}
	s.place = nil
}
