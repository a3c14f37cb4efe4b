// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"sync"
	"time"

	"github.com/ateom/ateom/artifacts/job"
)

// runsc keeps its whole queue filled with reads that nobody waits for, and looks
// at what a program waits for only when some read completes. Holding all of
// them back would therefore hold back everything: a paced seat still completes
// one a beat.
const (
	// quiet is how long nothing must have been waited for until the background
	// goes at full speed. A program that starts faults every few hundred
	// microseconds.
	quiet = 5 * time.Millisecond
	// beat is the time between background reads while a program waits for
	// pages elsewhere: 256 MB/s.
	beat = time.Millisecond
	// lazyBeat is the time between them in PaceLazy, with reads of lazyBytes:
	// 128 MB/s. A program that waits for what looks like background (see
	// order) waits a quarter of a second for a unit; at 8 MB/s, programs were
	// seen to wait for all of their memory.
	lazyBeat = time.Millisecond
)

// A pacer decides when the next background read may start.
type pacer struct {
	mu      sync.Mutex
	pace    job.Pace
	waited  time.Time // when something was last waited for
	taken   time.Time // when a background read was last let through
	changed chan struct{}
}

func newPacer(p job.Pace) *pacer {
	return &pacer{pace: p, changed: make(chan struct{})}
}

// set changes the pace and wakes those who sleep by the old one.
func (p *pacer) set(pace job.Pace) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pace = pace
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *pacer) get() job.Pace {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pace
}

// wait notes that a program waits for pages at now.
func (p *pacer) wait(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waited = now
}

// delay returns how long after now a background read may start, and a channel
// that is closed if that changes. With no delay the caller counts as having
// started one.
func (p *pacer) delay(now time.Time) (time.Duration, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var next time.Time
	switch {
	case p.pace == job.PaceLazy:
		next = p.taken.Add(lazyBeat)
	case p.pace == job.PaceReady && now.Sub(p.waited) < quiet:
		next = p.taken.Add(beat)
	}
	if d := next.Sub(now); d > 0 {
		return d, p.changed
	}
	p.taken = now
	return 0, p.changed
}
