// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ateom/ateom/shim/journal"
)

// samples are verbs of all kinds.
func samples() []*journal.Entry {
	return []*journal.Entry{
		{Verb: "Pause", Phases: []journal.Phase{{Name: "freeze", Nanos: 1e6}, {Name: "save", Nanos: 2e9}}, Bytes: 100},
		{Verb: "Pause", Phases: []journal.Phase{{Name: "freeze", Nanos: 1e6}, {Name: "save", Nanos: 1e9}}, Bytes: 20},
		{Verb: "Commit", Phases: []journal.Phase{{Name: "upload", Nanos: 5e8}}, Bytes: 7, Sent: 3},
		{Verb: "Commit", Phases: []journal.Phase{{Name: "prepare", Nanos: 1e6}, {Name: "failed", Nanos: 1e6}}, Cause: "unavailable", Error: "no bucket"},
		{Verb: "Resume", Phases: []journal.Phase{{Name: "failed", Nanos: 1}}, Cause: "killed"},
	}
}

func TestVerbsAreCounted(t *testing.T) {
	r := NewRegistry("test")
	v := NewVerbs(r)
	for _, e := range samples() {
		v.Add(e)
	}
	v.Bad(nil)
	want := `
# HELP ateom_verb_failures_total Verbs that failed or were refused, by the class of their error.
# TYPE ateom_verb_failures_total counter
ateom_verb_failures_total{cause="killed",verb="Resume"} 1
ateom_verb_failures_total{cause="unavailable",verb="Commit"} 1
# HELP ateom_verb_snapshot_bytes_total Sizes of the snapshots that verbs made or used, before compression.
# TYPE ateom_verb_snapshot_bytes_total counter
ateom_verb_snapshot_bytes_total{verb="Commit"} 7
ateom_verb_snapshot_bytes_total{verb="Pause"} 120
# HELP ateom_verb_sent_bytes_total Bytes that verbs put into stores, manifests and recipes included.
# TYPE ateom_verb_sent_bytes_total counter
ateom_verb_sent_bytes_total{verb="Commit"} 3
ateom_verb_sent_bytes_total{verb="Pause"} 0
ateom_verb_sent_bytes_total{verb="Resume"} 0
# HELP ateom_journal_bad_lines_total Lines of the journal that could not be read: verbs that are not counted.
# TYPE ateom_journal_bad_lines_total counter
ateom_journal_bad_lines_total 1
`
	if err := testutil.GatherAndCompare(r, strings.NewReader(want),
		"ateom_verb_failures_total", "ateom_verb_snapshot_bytes_total", "ateom_verb_sent_bytes_total", "ateom_journal_bad_lines_total"); err != nil {
		t.Error(err)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if h := m.GetHistogram(); h != nil {
				var labels []string
				for _, l := range m.GetLabel() {
					labels = append(labels, l.GetValue())
				}
				got[f.GetName()+" "+strings.Join(labels, " ")] = h.GetSampleSum()
			}
		}
	}
	for name, sum := range map[string]float64{
		"ateom_verb_duration_seconds Pause":                3.002,
		"ateom_verb_duration_seconds Commit":               0.5, // the one that failed is none
		"ateom_verb_phase_duration_seconds save Pause":     3,
		"ateom_verb_phase_duration_seconds prepare Commit": 0.001,
		"ateom_verb_phase_duration_seconds failed Resume":  1e-9,
	} {
		if diff := got[name] - sum; diff > 1e-12 || diff < -1e-12 {
			t.Errorf("%s sums to %v, want %v", name, got[name], sum)
		}
	}
}

func TestMetricsFollowTheConventions(t *testing.T) {
	r := NewRegistry("test")
	r.MustRegister(NewSandboxes(t.TempDir()))
	v := NewVerbs(r)
	for _, e := range samples() {
		v.Add(e)
	}
	problems, err := testutil.GatherAndLint(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// Whatever shims write, the number of series is bounded.
func TestUnknownWordsAreOneLabel(t *testing.T) {
	r := NewRegistry("test")
	v := NewVerbs(r)
	for _, word := range []string{"a", "b", "c"} {
		v.Add(&journal.Entry{Verb: word, Phases: []journal.Phase{{Name: word, Nanos: -5}}, Bytes: -1, Sent: -1})
		v.Add(&journal.Entry{Verb: "Pause", Cause: word})
	}
	n, err := testutil.GatherAndCount(r, "ateom_verb_duration_seconds", "ateom_verb_phase_duration_seconds", "ateom_verb_failures_total")
	if err != nil || n != 3 {
		t.Errorf("%d series, %v, want 3", n, err)
	}
}
