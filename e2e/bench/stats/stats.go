// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package stats turns samples into the few numbers that a table shows:
// medians, quantiles, and intervals found by resampling.
//
// Timings on a shared machine have long tails and drift, so nothing here
// assumes a distribution: intervals are percentile bootstraps, and ratios of
// interleaved series are resampled by pairs, which cancels the drift that both
// halves of a pair saw.
package stats

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Resamples is how often a bootstrap draws. Two thousand put the ends of a 95 %
// interval within about one percent of its width of their limit.
const Resamples = 2000

// seed makes intervals reproducible: the same samples give the same page.
const seed = 0x61746f6d

// An Interval is a point estimate with the interval that holds it with the
// confidence asked for.
type Interval struct {
	Point float64 `json:"point"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// Median returns the middle of xs, or NaN if there are none. xs is not changed.
func Median(xs []float64) float64 { return Quantile(xs, 0.5) }

// Quantile returns the p-quantile of xs, 0 ≤ p ≤ 1, interpolating linearly
// between neighbours, or NaN if there are none. xs is not changed.
func Quantile(xs []float64, p float64) float64 {
	if len(xs) == 0 {
		return math.NaN()
	}
	s := slices.Clone(xs)
	slices.Sort(s)
	return sortedQuantile(s, p)
}

func sortedQuantile(s []float64, p float64) float64 {
	at := p * float64(len(s)-1)
	i := int(math.Floor(at))
	if i+1 >= len(s) {
		return s[len(s)-1]
	}
	return s[i] + (at-float64(i))*(s[i+1]-s[i])
}

// QuantileInterval returns the p-quantile of xs and the interval that holds it
// with the given confidence (0.95, say). With no samples all three are NaN.
func QuantileInterval(xs []float64, p, confidence float64) Interval {
	if len(xs) == 0 {
		return Interval{math.NaN(), math.NaN(), math.NaN()}
	}
	rng := rand.New(rand.NewPCG(seed, uint64(len(xs))))
	draws := make([]float64, Resamples)
	sample := make([]float64, len(xs))
	for d := range draws {
		for i := range sample {
			sample[i] = xs[rng.IntN(len(xs))]
		}
		slices.Sort(sample)
		draws[d] = sortedQuantile(sample, p)
	}
	return around(Quantile(xs, p), draws, confidence)
}

// MedianRatio returns median(a) / median(b) and its interval. Series of equal
// length are taken to be pairs (the i-th of each were measured one after the
// other) and resampled as such; others are resampled apart. With no samples on
// either side all three are NaN.
func MedianRatio(a, b []float64, confidence float64) Interval {
	if len(a) == 0 || len(b) == 0 {
		return Interval{math.NaN(), math.NaN(), math.NaN()}
	}
	rng := rand.New(rand.NewPCG(seed, uint64(len(a))<<32|uint64(len(b))))
	paired := len(a) == len(b)
	draws := make([]float64, Resamples)
	as, bs := make([]float64, len(a)), make([]float64, len(b))
	for d := range draws {
		for i := range as {
			j := rng.IntN(len(a))
			as[i] = a[j]
			if paired {
				bs[i] = b[j]
			}
		}
		if !paired {
			for i := range bs {
				bs[i] = b[rng.IntN(len(b))]
			}
		}
		slices.Sort(as)
		slices.Sort(bs)
		draws[d] = sortedQuantile(as, 0.5) / sortedQuantile(bs, 0.5)
	}
	return around(Median(a)/Median(b), draws, confidence)
}

// around makes an interval of a point and the draws of its bootstrap, which it sorts.
func around(point float64, draws []float64, confidence float64) Interval {
	slices.Sort(draws)
	tail := (1 - confidence) / 2
	return Interval{Point: point, Low: sortedQuantile(draws, tail), High: sortedQuantile(draws, 1-tail)}
}
