// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"context"
	"slices"
	"time"

	"github.com/ateom/ateom/e2e/bench/lab"
	"github.com/ateom/ateom/e2e/bench/peers"
	"github.com/ateom/ateom/e2e/bench/report"
)

// A sample is what one step took and cost.
type sample struct {
	took time.Duration
	lab.Usage
}

// measure times one step of whoever works in the account.
func measure(a *lab.Account, step func() error) (sample, error) {
	m, err := a.Measure()
	if err != nil {
		return sample{}, err
	}
	start := time.Now()
	err = step()
	s := sample{took: time.Since(start)}
	usage, usageErr := m.Stop()
	if err == nil {
		err = usageErr
	}
	s.Usage = usage
	return s, err
}

// addTo appends the sample to a series.
func (s sample) addTo(to *report.Series) {
	to.Samples = append(to.Samples, milliseconds(s.took))
	s.costTo(to)
}

// costTo appends what the sample cost, but not how long it took.
func (s sample) costTo(to *report.Series) {
	to.CPU = append(to.CPU, s.CPU.Seconds())
	if s.PeakName != "" && float64(s.PeakRSS) > slices.Max(append(to.PeakRSS, 0)) {
		to.PeakName = s.PeakName
	}
	to.PeakRSS = append(to.PeakRSS, float64(s.PeakRSS))
}

// phasesTo appends what the peer says of its last verb, if it says something.
func phasesTo(ctx context.Context, box peers.Sandbox, to *report.Series) error {
	p, ok := box.(peers.Phased)
	if !ok {
		return nil
	}
	phases, err := p.Phases(ctx)
	for _, ph := range phases {
		to.AddPhase(ph.Name, milliseconds(ph.Took))
	}
	return err
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
