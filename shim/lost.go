// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"time"

	"github.com/ateom/ateom/artifacts/job"
)

const (
	// lossGrace is what a sandbox has to end by itself whose memory cannot be brought back:
	// gVisor kills it, but not before all that it restores has begun, and that may wait
	// for the memory. Its program may wait, too, for as long as its probes allow.
	lossGrace = 3 * time.Second
	// lossPeriod is between two looks at what the side-car has noted.
	lossPeriod = 250 * time.Millisecond
)

// errLost is why a verb ends that waits for memory which does not come; the side-car says more.
var errLost = errors.New("the sandbox waits for memory that does not come")

// untilLost is ctx, which ends as well a while after the side-car of a restore has noted that
// it cannot bring the memory back. done must be called when nobody waits for that any more.
func (s *sandbox) untilLost(ctx context.Context) (limited context.Context, done func()) {
	limited, cancel := context.WithCancelCause(ctx)
	go func() {
		for seatFailure(s.seatStatus(job.Restore)) == nil {
			select {
			case <-time.After(lossPeriod):
			case <-limited.Done():
				return
			}
		}
		select {
		case <-time.After(lossGrace):
			cancel(errLost)
		case <-limited.Done():
		}
	}()
	return limited, func() { cancel(nil) }
}
