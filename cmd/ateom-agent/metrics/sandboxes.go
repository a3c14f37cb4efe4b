// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ateom/ateom/shim/roster"
)

// states are those that a sandbox can be found in at rest. Dead is a sandbox
// whose shim has ended without cleaning up.
var states = []string{"created", "running", "paused", "stopped", dead}

const dead = "dead"

// Sandboxes counts the sandboxes of a node when it is asked. It reads the
// roster and wakes no shim.
type Sandboxes struct {
	runDir     string
	count      *prometheus.Desc
	unreadable *prometheus.Desc
}

// NewSandboxes returns the collector of the node that has that run-dir.
func NewSandboxes(runDir string) *Sandboxes {
	return &Sandboxes{
		runDir: runDir,
		count: prometheus.NewDesc("ateom_sandboxes",
			"Sandboxes on this node by state; dead are those whose shim has ended without cleaning up.", []string{"state"}, nil),
		unreadable: prometheus.NewDesc("ateom_roster_unreadable",
			"1 if some sandbox's entry could not be read, so that ateom_sandboxes counts too few; else 0.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (s *Sandboxes) Describe(ch chan<- *prometheus.Desc) {
	ch <- s.count
	ch <- s.unreadable
}

// Collect implements prometheus.Collector.
func (s *Sandboxes) Collect(ch chan<- prometheus.Metric) {
	list, err := roster.List(s.runDir)
	n := map[string]int{}
	for _, e := range list {
		if e.Alive {
			n[e.State]++
		} else {
			n[dead]++
		}
	}
	for _, state := range states {
		ch <- prometheus.MustNewConstMetric(s.count, prometheus.GaugeValue, float64(n[state]), state)
	}
	unreadable := 0.0
	if err != nil {
		unreadable = 1
	}
	ch <- prometheus.MustNewConstMetric(s.unreadable, prometheus.GaugeValue, unreadable)
}
