// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"math"
	"strconv"

	"github.com/ateom/ateom/e2e/bench/stats"
)

// Amount writes v for people: three digits, and a larger unit where there is one.
func Amount(v float64, unit string) string {
	if math.IsNaN(v) {
		return "–"
	}
	switch unit {
	case "ms":
		switch {
		case v >= 10_000:
			return digits(v/1000) + " s"
		case v < 0.1 && v != 0:
			return digits(v*1000) + " µs"
		}
	case "bytes":
		for _, u := range []struct {
			size float64
			name string
		}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
			if v >= u.size {
				return digits(v/u.size) + " " + u.name
			}
		}
	}
	if unit == "" {
		return digits(v)
	}
	return digits(v) + " " + unit
}

// Range writes an interval for people.
func Range(i stats.Interval, unit string) string {
	return fmt.Sprintf("%s … %s", Amount(i.Low, unit), Amount(i.High, unit))
}

// digits writes v with three significant digits, but all before the point.
func digits(v float64) string {
	a := math.Abs(v)
	switch {
	case a >= 99.95 || a == 0:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 9.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case a >= 0.01:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}

// trim writes v without trailing zeros.
func trim(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
