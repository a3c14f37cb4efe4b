// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package tasks

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ateom/ateom/cmd/ctr-ateom/view"
	ateomv1 "github.com/ateom/ateom/proto/ateom/v1"
)

// A result is what a verb prints with --json.
type result struct {
	ID       string        `json:"id"`
	Verb     string        `json:"verb"`
	Snapshot *snapshot     `json:"snapshot,omitempty"`
	Phases   []phase       `json:"phases"`
	Took     time.Duration `json:"nanoseconds"`
	// FirstInstruction belongs to resume: how long after the request the programs
	// ran, at the latest.
	FirstInstruction time.Duration `json:"firstInstruction,omitempty"`
	// BytesSent belongs to commit.
	BytesSent *int64 `json:"bytesSent,omitempty"`
}

// A snapshot is the service's Snapshot.
type snapshot struct {
	ID      string    `json:"id"`
	Scope   string    `json:"scope"`
	Store   string    `json:"store,omitempty"`
	Created time.Time `json:"created"`
	// Bytes is the size before compression.
	Bytes int64 `json:"bytes"`
}

// A phase is a named stretch of a verb.
type phase struct {
	Name string        `json:"name"`
	Took time.Duration `json:"nanoseconds"`
}

func newResult(id, verb string, s *ateomv1.Snapshot, phases []*ateomv1.Phase) result {
	r := result{ID: id, Verb: verb, Snapshot: newSnapshot(s), Phases: newPhases(phases)}
	for _, p := range r.Phases {
		r.Took += p.Took
	}
	return r
}

func newSnapshot(s *ateomv1.Snapshot) *snapshot {
	if s.GetId() == "" {
		return nil
	}
	return &snapshot{
		ID: s.GetId(), Scope: s.GetScope(), Store: s.GetStore(),
		Created: s.GetCreated().AsTime(), Bytes: s.GetBytes(),
	}
}

func newPhases(in []*ateomv1.Phase) []phase {
	out := make([]phase, 0, len(in))
	for _, p := range in {
		out = append(out, phase{Name: p.GetName(), Took: time.Duration(p.GetNanos())})
	}
	return out
}

// sentence writes what a verb did, in one line: "paused web in 312 ms (freeze
// 0.10 ms, save 230 ms, …)".
func (r result) sentence(w io.Writer, done string) {
	fmt.Fprintf(w, "%s %s", done, r.ID)
	if r.Took > 0 {
		fmt.Fprintf(w, " in %s", view.Duration(r.Took))
	}
	if list := phaseList(r.Phases); list != "" {
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

func phaseList(phases []phase) string {
	words := make([]string, 0, len(phases))
	for _, p := range phases {
		words = append(words, p.Name+" "+view.Duration(p.Took))
	}
	return strings.Join(words, ", ")
}

// String describes s in one line.
func (s *snapshot) String() string {
	line := fmt.Sprintf("%s  %s  %s", s.ID, s.Scope, view.Bytes(s.Bytes))
	if s.Store != "" {
		line += "  " + s.Store
	}
	return line
}
