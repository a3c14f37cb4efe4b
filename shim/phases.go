// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"time"

	"github.com/containerd/log"

	ateomv1 "github.com/ateom/ateom/proto/ateom/v1"
)

// A stopwatch divides a verb into phases that follow each other without gaps,
// so that they sum to the total.
type stopwatch struct {
	last   time.Time
	phases []*ateomv1.Phase
}

func newStopwatch() *stopwatch { return &stopwatch{last: time.Now()} }

// mark ends the present phase and gives it its name.
func (w *stopwatch) mark(name string) {
	now := time.Now()
	w.phases = append(w.phases, &ateomv1.Phase{Name: name, Nanos: now.Sub(w.last).Nanoseconds()})
	w.last = now
}

// A report is what Status tells of the last verb, and of the one under way.
type report struct {
	verb     string
	phases   []*ateomv1.Phase
	progress *ateomv1.Progress
}

// setReport notes that a verb has ended well, for Status and in one line of the log.
func (s *sandbox) setReport(ctx context.Context, verb string, phases []*ateomv1.Phase) {
	s.mu.Lock()
	s.report = report{verb: verb, phases: phases}
	s.mu.Unlock()
	fields := log.Fields{"sandbox": s.id, "verb": verb}
	var total time.Duration
	for _, p := range phases {
		took := time.Duration(p.Nanos)
		fields[p.Name] = took.String()
		total += took
	}
	fields["total"] = total.String()
	log.G(ctx).WithFields(fields).Info("verb done")
}

// setProgress notes how far the verb under way is; nil when it has ended.
func (s *sandbox) setProgress(p *ateomv1.Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.progress = p
}
