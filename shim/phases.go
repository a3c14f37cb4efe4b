// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"time"

	"github.com/containerd/ttrpc"

	"github.com/ateom/ateom/artifacts"
	ateomv1 "github.com/ateom/ateom/proto/ateom/v1"
)

// A stopwatch divides a verb into phases that follow each other without gaps
// from its request on, so that they sum to the total. It also holds what else
// is to be told of the verb when it has ended.
type stopwatch struct {
	start  time.Time
	last   time.Time
	phases []*ateomv1.Phase
	// firstInstruction is how long after the request programs that came back ran at
	// the latest; 0 if none did.
	firstInstruction time.Duration
	// traceParent is the caller's span, if it told of one.
	traceParent string
	// snapshot is what the verb made or used, sent what it put into a store.
	snapshot *artifacts.Manifest
	store    string
	sent     int64
}

// traceParent is the key under which W3C Trace Context travels, in ttrpc's
// metadata as in HTTP's headers.
const traceParent = "traceparent"

// newStopwatch starts with the request that ctx belongs to.
func newStopwatch(ctx context.Context) *stopwatch {
	now := time.Now()
	w := &stopwatch{start: now, last: now}
	w.traceParent, _ = ttrpc.GetMetadataValue(ctx, traceParent)
	return w
}

// mark ends the present phase and gives it its name.
func (w *stopwatch) mark(name string) {
	now := time.Now()
	w.phases = append(w.phases, &ateomv1.Phase{Name: name, Nanos: now.Sub(w.last).Nanoseconds()})
	w.last = now
}

// join ends the phase in which a verb of several requests waited for the next one,
// whose stopwatch next is.
func (w *stopwatch) join(next *stopwatch) {
	if took := next.start.Sub(w.last); took > 0 { // else it came while the one before was served
		w.phases = append(w.phases, &ateomv1.Phase{Name: "between", Nanos: took.Nanoseconds()})
		w.last = next.start
	}
	if w.traceParent == "" {
		w.traceParent = next.traceParent
	}
}

// runs notes that programs have begun to run: whoever started them has said so.
func (w *stopwatch) runs() { w.firstInstruction = w.last.Sub(w.start) }

// worthTelling is how long a wait must be to be a phase of its own; a shorter
// one belongs to the phase that follows.
const worthTelling = time.Millisecond

// waited ends the phase in which a verb waited for its turn.
func (w *stopwatch) waited() {
	if time.Since(w.last) >= worthTelling {
		w.mark("wait")
	}
}
