// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/ateom/ateom/e2e/bench/stats"
)

// Cells are a series' numbers for a table: how many samples, median, interval,
// p99, CPU seconds, bytes, peak resident set. A number that was not measured
// is a dash.
func (s Series) Cells() [7]string {
	m := s.Median()
	cells := [7]string{
		strconv.Itoa(len(s.Samples)),
		Amount(m.Point, s.Unit),
		"–",
		Amount(stats.Quantile(s.Samples, 0.99), s.Unit),
		Amount(stats.Median(s.CPU), "s"),
		Amount(stats.Median(s.Bytes), "bytes"),
		Amount(stats.Quantile(s.PeakRSS, 1), "bytes"),
	}
	if len(s.Samples) > 0 {
		cells[2] = Range(m, s.Unit)
	}
	if len(s.PeakRSS) > 0 && s.PeakName != "" {
		cells[6] += " (" + s.PeakName + ")"
	}
	return cells
}

// Spent says what the medians of the series' phases are, or is empty.
func (s Series) Spent() string {
	var parts []string
	for _, p := range s.Phases {
		parts = append(parts, p.Name+" "+Amount(stats.Median(p.Samples), "ms"))
	}
	return strings.Join(parts, ", ")
}

// longest says which phase takes most of the series' time, or is empty.
func (s Series) longest() string {
	var name string
	var most float64
	for _, p := range s.Phases {
		if m := stats.Median(p.Samples); m > most {
			name, most = p.Name, m
		}
	}
	if name == "" {
		return ""
	}
	return fmt.Sprintf(" Its longest phase is %s: %s of %s.", name, Amount(most, "ms"), Amount(s.Median().Point, s.Unit))
}
