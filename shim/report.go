// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/log"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	ateomv1 "github.com/ateom/ateom/proto/ateom/v1"
	"github.com/ateom/ateom/shim/journal"
)

// ended tells of a verb that has ended, well or not: to Status, in one line of
// the log, and in the node's journal. A verb that found nothing to do is none.
func (s *sandbox) ended(ctx context.Context, v verb, w *stopwatch, err error) {
	if err == nil && len(w.phases) == 0 {
		return
	}
	if err != nil {
		// The stretch in which it failed, clearing up included.
		w.mark("failed")
	}
	r := &ateomv1.VerbReport{
		Verb: string(v), Start: timestamppb.New(w.start), Phases: w.phases, FirstInstructionNanos: w.firstInstruction.Nanoseconds(),
	}
	if err != nil {
		r.Cause, r.Error = cause(err), oneLine(err)
	}
	s.mu.Lock()
	s.reports = append([]*ateomv1.VerbReport{r},
		slices.DeleteFunc(s.reports, func(old *ateomv1.VerbReport) bool { return old.GetVerb() == r.GetVerb() })...)
	s.mu.Unlock()
	s.logVerb(ctx, r)
	s.journal(ctx, r, w)
}

// admit refuses a verb at once where its state does, and tells of that. Who is
// refused must not share the outcome of those who come a moment later.
func (s *sandbox) admit(ctx context.Context, v verb) error {
	err := s.check(v)
	if err != nil {
		s.ended(ctx, v, newStopwatch(ctx), err)
	}
	return err
}

// logVerb writes the verb's one line. Its phases sum to its total.
func (s *sandbox) logVerb(ctx context.Context, r *ateomv1.VerbReport) {
	fields := log.Fields{"sandbox": s.id, "verb": r.GetVerb()}
	var total time.Duration
	sums := map[string]time.Duration{} // a Restore has a phase for each container
	for _, p := range r.GetPhases() {
		took := time.Duration(p.GetNanos())
		sums[p.GetName()] += took
		fields[p.GetName()] = sums[p.GetName()].String()
		total += took
	}
	fields["total"] = total.String()
	if first := r.GetFirstInstructionNanos(); first > 0 {
		fields["first-instruction"] = time.Duration(first).String()
	}
	if r.GetCause() == "" {
		log.G(ctx).WithFields(fields).Info("verb done")
		return
	}
	fields["cause"], fields["error"] = r.GetCause(), r.GetError()
	log.G(ctx).WithFields(fields).Error("verb failed")
}

// journal appends the verb to the node's journal, which nobody may read.
func (s *sandbox) journal(ctx context.Context, r *ateomv1.VerbReport, w *stopwatch) {
	e := &journal.Entry{
		Verb: r.GetVerb(), Namespace: s.namespace, Sandbox: s.id, Start: w.start.UTC(), Cause: r.GetCause(), Error: r.GetError(),
		Store: w.store, Sent: w.sent, TraceParent: w.traceParent,
	}
	for _, p := range r.GetPhases() {
		e.Phases = append(e.Phases, journal.Phase{Name: p.GetName(), Nanos: p.GetNanos()})
	}
	if m := w.snapshot; m != nil {
		d := describe(m, "")
		e.Scope, e.Snapshot, e.Bytes = d.GetScope(), d.GetId(), d.GetBytes()
	}
	if err := journal.Append(s.cfg.RunDir, e); err != nil {
		log.G(ctx).WithError(err).Warn("note the verb in the node's journal")
	}
}

// cause is the class of an error in one word, as errors of the command line
// have it: failed_precondition, unavailable, …; killed is a verb that a Kill or
// a Delete has ended.
func cause(err error) string {
	if errors.Is(err, errKilled) || errors.Is(err, errMemberKilled) {
		return "killed"
	}
	code := status.Code(errgrpc.ToGRPC(errdefs.Resolve(err))).String()
	var b strings.Builder
	for i, r := range code {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	return strings.ToLower(b.String())
}

// oneLine is an error's text without ends of line: an error with several causes
// has one for each.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// setProgress notes how far the verb under way is; nil when it has ended.
func (s *sandbox) setProgress(p *ateomv1.Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.progress = p
}
