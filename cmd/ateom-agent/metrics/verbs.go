// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ateom/ateom/shim/journal"
)

// Verbs counts the verbs that ended, by what the journal says of them.
type Verbs struct {
	duration *prometheus.HistogramVec
	phase    *prometheus.HistogramVec
	failures *prometheus.CounterVec
	bytes    *prometheus.CounterVec
	sent     *prometheus.CounterVec
	bad      prometheus.Counter
}

// buckets go from 0.1 ms, in which a sandbox is frozen, to 100 s, in which a
// large one is uploaded, in steps of √10 ≈ 3.
var buckets = prometheus.ExponentialBucketsRange(1e-4, 100, 13)

// Words that label what is not among the known ones: shims of another version
// may have more, and a label must not have any number of values.
const other = "other"

var (
	verbs  = set("Pause", "Resume", "Commit", "Restore")
	phases = set("wait", "freeze", "save", "publish", "free", "network", "create", "restore", "start", "ready", "thaw",
		"between", "fetch", "manifest", "prepare", "describe", "capture", "upload", "pre-save", "post-save", "post-restore", "failed")
	causes = set("killed", "canceled", "unknown", "invalid_argument", "deadline_exceeded", "not_found", "already_exists",
		"permission_denied", "resource_exhausted", "failed_precondition", "aborted", "out_of_range", "unimplemented",
		"internal", "unavailable", "data_loss", "unauthenticated")
)

func set(words ...string) map[string]bool {
	m := make(map[string]bool, len(words))
	for _, w := range words {
		m[w] = true
	}
	return m
}

// among returns the word if it is a known one.
func among(known map[string]bool, word string) string {
	if known[word] {
		return word
	}
	return other
}

// NewVerbs returns metrics that are registered with r.
func NewVerbs(r prometheus.Registerer) *Verbs {
	v := &Verbs{
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "verb_duration_seconds", Buckets: buckets,
			Help: "Time from a verb's request to its end, of those that did what they were asked for.",
		}, []string{"verb"}),
		phase: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "verb_phase_duration_seconds", Buckets: buckets,
			Help: "Time of each phase of a verb; the phases of one verb sum to its duration.",
		}, []string{"verb", "phase"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "verb_failures_total",
			Help: "Verbs that failed or were refused, by the class of their error.",
		}, []string{"verb", "cause"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "verb_snapshot_bytes_total",
			Help: "Sizes of the snapshots that verbs made or used, before compression.",
		}, []string{"verb"}),
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "verb_sent_bytes_total",
			Help: "Bytes that verbs put into stores, manifests and recipes included.",
		}, []string{"verb"}),
		bad: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Name: "journal_bad_lines_total",
			Help: "Lines of the journal that could not be read: verbs that are not counted.",
		}),
	}
	r.MustRegister(v.duration, v.phase, v.failures, v.bytes, v.sent, v.bad)
	return v
}

// Add counts a verb.
func (v *Verbs) Add(e *journal.Entry) {
	verb := among(verbs, e.Verb)
	for _, p := range e.Phases {
		v.phase.WithLabelValues(verb, among(phases, p.Name)).Observe(float64(p.Nanos) / 1e9)
	}
	v.sent.WithLabelValues(verb).Add(float64(max(0, e.Sent)))
	if e.Cause != "" {
		v.failures.WithLabelValues(verb, among(causes, e.Cause)).Inc()
		return
	}
	v.duration.WithLabelValues(verb).Observe(e.Took().Seconds())
	v.bytes.WithLabelValues(verb).Add(float64(max(0, e.Bytes)))
}

// Bad counts a line of the journal that is no entry.
func (v *Verbs) Bad(error) { v.bad.Inc() }
