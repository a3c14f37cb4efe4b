// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"time"

	"github.com/containerd/log"

	"github.com/ateom/ateom/artifacts/local"
	"github.com/ateom/ateom/shim/sweep"
)

// removalLimit is how long a verb waits for files to go that nobody wants any more. Very
// many of them take longer than Delete may, and than who creates a container wants to wait.
const removalLimit = time.Second

// outlive waits for do, but no longer than removalLimit: it goes on behind the verb then,
// and the process ends no sooner than it does. Who kills the process leaves the rest to the
// next sweep.
func (s *sandbox) outlive(do func() error) error {
	ended, late := make(chan error), make(chan struct{})
	s.removals.Go(func() {
		err := do()
		select {
		case ended <- err:
		case <-late:
			if err != nil {
				log.L.WithError(err).Warn("remove files behind an answer")
			}
		}
	})
	timeout := time.NewTimer(removalLimit)
	defer timeout.Stop()
	select {
	case err := <-ended:
		return err
	case <-timeout.C:
		close(late)
		return nil
	}
}

// FinishRemovals waits for the files to be gone whose removal goes on behind answers.
func (s *Service) FinishRemovals() { s.removals.Wait() }

// sweepNode removes what other shims have left when they died. What is in use stays.
func (s *sandbox) sweepNode() {
	err := s.outlive(func() error {
		drafts, err := s.local.Sweep(local.DeleteLeftovers)
		if len(drafts) > 0 {
			log.L.WithField("drafts", drafts).Info("removed what a crash had left")
		}
		return err
	})
	tellSweep(err)
	rest, err := sweep.IfDue(s.cfg)
	if len(rest) > 0 {
		log.L.WithField("leftovers", rest).Info("removed what a crash had left")
	}
	tellSweep(err)
}

// tellSweep says that something could not be swept, which is no reason not to go on.
func tellSweep(err error) {
	if err != nil {
		log.L.WithError(err).Warn("sweep the node")
	}
}
