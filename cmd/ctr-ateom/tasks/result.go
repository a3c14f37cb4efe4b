// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package tasks

import (
	"fmt"
	"io"
	"time"

	"github.com/ateom/ateom/cmd/ctr-ateom/view"
	"github.com/ateom/ateom/cmd/wire"
	ateomv1 "github.com/ateom/ateom/proto/ateom/v1"
)

func newResult(id, verb string, s *ateomv1.Snapshot, phases []*ateomv1.Phase) *wire.Result {
	r := &wire.Result{ID: id, Verb: verb, Snapshot: newSnapshot(s), Phases: newPhases(phases)}
	for _, p := range r.Phases {
		r.Took += p.Took
	}
	return r
}

func newSnapshot(s *ateomv1.Snapshot) *wire.Snapshot {
	if s.GetId() == "" {
		return nil
	}
	return &wire.Snapshot{
		ID: s.GetId(), Scope: s.GetScope(), Store: s.GetStore(),
		Created: s.GetCreated().AsTime(), Bytes: s.GetBytes(),
	}
}

func newPhases(in []*ateomv1.Phase) []wire.Phase {
	out := make([]wire.Phase, 0, len(in))
	for _, p := range in {
		out = append(out, wire.Phase{Name: p.GetName(), Took: time.Duration(p.GetNanos())})
	}
	return out
}

// sentence writes what a verb did, in one line: "paused web in 312 ms (freeze
// 0.10 ms, save 230 ms, …)".
func sentence(w io.Writer, r *wire.Result, done string) {
	fmt.Fprintf(w, "%s %s", done, r.ID)
	if r.Took > 0 {
		fmt.Fprintf(w, " in %s", view.Duration(r.Took))
	}
	if list := view.Phases(r.Phases); list != "" {
		fmt.Fprintf(w, " (%s)", list)
	}
	fmt.Fprintln(w, firstInstruction(r.FirstInstruction))
}

// firstInstruction is how a line about a verb ends that brought programs back.
func firstInstruction(after time.Duration) string {
	if after == 0 {
		return ""
	}
	return ", first instruction within " + view.Duration(after)
}

// describe describes s in one line.
func describe(s *wire.Snapshot) string {
	line := fmt.Sprintf("%s  %s  %s", s.ID, s.Scope, view.Bytes(s.Bytes))
	if s.Store != "" {
		line += "  " + s.Store
	}
	return line
}
