// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package report is what a run of the bench leaves behind: numbers as JSON for
// programs, one HTML page with plots for people, a Markdown page for the
// project's documentation, and the verdicts on the last lines of the terminal.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/ateom/ateom/e2e/bench/roof"
	"github.com/ateom/ateom/e2e/bench/stats"
)

// Confidence of every interval.
const Confidence = 0.95

// A Report is one run.
type Report struct {
	Version string        `json:"version"`
	Started time.Time     `json:"started"`
	Took    time.Duration `json:"took"`
	// Quick runs measure less often.
	Quick   bool         `json:"quick"`
	Machine roof.Machine `json:"machine"`
	Roof    []roof.Rate  `json:"roof"`
	Rows    []Row        `json:"rows"`
}

// A Row is one line of the table of targets.
type Row struct {
	ID    int    `json:"id"`
	Title string `json:"title"`
	// How says in a few sentences what is measured, from when until when.
	How string `json:"how"`
	// Bound says what bounds ateom where a target is missed.
	Bound  string   `json:"bound,omitempty"`
	Series []Series `json:"series"`
	Claims []Claim  `json:"claims"`
	Notes  []string `json:"notes,omitempty"`
}

// A Series is what one peer showed in one measurement.
type Series struct {
	Peer string `json:"peer"`
	// What distinguishes measurements of one row: "64 MiB", "live".
	What string `json:"what"`
	// Unit of the samples: "ms", "bytes", "ratio".
	Unit    string    `json:"unit"`
	Samples []float64 `json:"samples"`
	// Missing says why there are no samples, or fewer than wanted.
	Missing string `json:"missing,omitempty"`
	// CPU seconds, bytes written or sent, and peak resident set (of any one
	// process but the sandbox's kernel) for each sample, where measured.
	CPU      []float64 `json:"cpu,omitempty"`
	Bytes    []float64 `json:"bytes,omitempty"`
	PeakRSS  []float64 `json:"peakRss,omitempty"`
	PeakName string    `json:"peakName,omitempty"`
	// Phases are the stretches of the step as the peer itself tells them, in
	// milliseconds.
	Phases []Phase `json:"phases,omitempty"`
}

// A Phase is a named stretch of every sample of a Series.
type Phase struct {
	Name    string    `json:"name"`
	Samples []float64 `json:"samples"`
}

// AddPhase appends the time, in milliseconds, that the latest sample spent in
// the named phase.
func (s *Series) AddPhase(name string, ms float64) {
	for i := range s.Phases {
		if s.Phases[i].Name == name {
			s.Phases[i].Samples = append(s.Phases[i].Samples, ms)
			return
		}
	}
	s.Phases = append(s.Phases, Phase{Name: name, Samples: []float64{ms}})
}

// Median of the samples with its interval.
func (s Series) Median() stats.Interval {
	return stats.QuantileInterval(s.Samples, 0.5, Confidence)
}

// A Claim compares series with a target.
type Claim struct {
	// Text is the target as the table says it: "≤ 1.10 × raw".
	Text string `json:"text"`
	What string `json:"what"`
	Peer string `json:"peer"`
	// Against is the peer that a ratio divides by; empty where the target is absolute.
	Against string `json:"against,omitempty"`
	// Quantile that the target is about: 0.5 or 0.99. Ratios are of medians.
	Quantile float64 `json:"quantile"`
	Target   float64 `json:"target"`
	// Unit of the target: "×" for ratios.
	Unit string `json:"unit"`
	// Found is what was measured; the zero Interval where nothing was.
	Found   stats.Interval `json:"found"`
	Verdict Verdict        `json:"verdict"`
}

// A Verdict is the outcome of a claim.
type Verdict string

const (
	// Meets: the point estimate and its whole interval are within the target.
	Meets Verdict = "meets"
	// Likely: the point estimate is within the target, the interval reaches beyond.
	Likely Verdict = "likely"
	// Misses: the point estimate is beyond the target.
	Misses Verdict = "misses"
	// NotMeasured: a peer is missing or failed.
	NotMeasured Verdict = "not measured"
)

// Find returns the row's series of a peer, or nil.
func (r *Row) Find(peer, what string) *Series {
	for i := range r.Series {
		if s := &r.Series[i]; s.Peer == peer && s.What == what {
			return s
		}
	}
	return nil
}

// ClaimRatio adds the claim that peer's median is at most target times against's.
func (r *Row) ClaimRatio(what, peer, against string, target float64) {
	c := Claim{
		Text: fmt.Sprintf("≤ %s × %s", trim(target), against), What: what,
		Peer: peer, Against: against, Quantile: 0.5, Target: target, Unit: "×",
	}
	if a, b := r.Find(peer, what), r.Find(against, what); a != nil && b != nil {
		c.judge(stats.MedianRatio(a.Samples, b.Samples, Confidence))
	} else {
		c.judge(stats.MedianRatio(nil, nil, Confidence))
	}
	r.Claims = append(r.Claims, c)
}

// ClaimAtMost adds the claim that a quantile of peer's samples is at most target.
func (r *Row) ClaimAtMost(what, peer string, quantile, target float64) {
	c := Claim{What: what, Peer: peer, Quantile: quantile, Target: target}
	var samples []float64
	if s := r.Find(peer, what); s != nil {
		samples, c.Unit = s.Samples, s.Unit
	}
	name := "median"
	switch {
	case quantile == 1:
		name = "peak"
	case quantile != 0.5:
		name = fmt.Sprintf("p%s", trim(quantile*100))
	}
	c.Text = fmt.Sprintf("%s ≤ %s", name, Amount(target, c.Unit))
	c.judge(stats.QuantileInterval(samples, quantile, Confidence))
	r.Claims = append(r.Claims, c)
}

// judge sets what was found and the verdict.
func (c *Claim) judge(found stats.Interval) {
	switch {
	case math.IsNaN(found.Point) || math.IsInf(found.Point, 0):
		c.Found, c.Verdict = stats.Interval{}, NotMeasured
		return
	case found.Point > c.Target:
		c.Verdict = Misses
	case found.High > c.Target:
		c.Verdict = Likely
	default:
		c.Verdict = Meets
	}
	c.Found = found
}

// WriteJSON writes the report as one indented JSON value.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// ReadJSON reads what WriteJSON wrote.
func ReadJSON(rd io.Reader) (*Report, error) {
	var r Report
	if err := json.NewDecoder(rd).Decode(&r); err != nil {
		return nil, fmt.Errorf("read report: %w", err)
	}
	return &r, nil
}
