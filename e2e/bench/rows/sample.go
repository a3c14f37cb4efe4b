// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"time"

	"github.com/ateom/ateom/e2e/bench/lab"
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

func (s sample) addTo(to *report.Series) {
	to.Samples = append(to.Samples, milliseconds(s.took))
	to.CPU = append(to.CPU, s.CPU.Seconds())
	to.PeakRSS = append(to.PeakRSS, float64(s.PeakRSS))
	if s.PeakName != "" {
		to.PeakName = s.PeakName
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
