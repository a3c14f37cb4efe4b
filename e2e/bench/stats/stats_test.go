// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestQuantileInterpolatesBetweenNeighbours(t *testing.T) {
	tests := []struct {
		name string
		xs   []float64
		p    float64
		want float64
	}{
		{"one sample", []float64{7}, 0.99, 7},
		{"odd median", []float64{3, 1, 2}, 0.5, 2},
		{"even median", []float64{4, 1, 3, 2}, 0.5, 2.5},
		{"lowest", []float64{4, 1, 3}, 0, 1},
		{"highest", []float64{4, 1, 3}, 1, 4},
		{"p99 of 0..100", ramp(101), 0.99, 99},
		{"p25 of 0..2", ramp(3), 0.25, 0.5},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Quantile(tt.xs, tt.p); math.Abs(got-tt.want) > 1e-12 {
				t.Errorf("Quantile(%v, %v) = %v, want %v", tt.xs, tt.p, got, tt.want)
			}
		})
	}
}

func TestQuantileLeavesItsInputAlone(t *testing.T) {
	xs := []float64{3, 1, 2}
	Quantile(xs, 0.5)
	if xs[0] != 3 || xs[1] != 1 || xs[2] != 2 {
		t.Errorf("input became %v", xs)
	}
}

func TestNoSamplesGiveNaN(t *testing.T) {
	for name, got := range map[string]float64{
		"Median":           Median(nil),
		"QuantileInterval": QuantileInterval(nil, 0.5, 0.95).High,
		"MedianRatio a":    MedianRatio(nil, []float64{1}, 0.95).Point,
		"MedianRatio b":    MedianRatio([]float64{1}, nil, 0.95).Low,
	} {
		if !math.IsNaN(got) {
			t.Errorf("%s of nothing = %v, want NaN", name, got)
		}
	}
}

func TestIntervalOfConstantSamplesIsThePoint(t *testing.T) {
	xs := []float64{5, 5, 5, 5}
	if got, want := QuantileInterval(xs, 0.5, 0.95), (Interval{5, 5, 5}); got != want {
		t.Errorf("QuantileInterval = %v, want %v", got, want)
	}
	if got, want := MedianRatio(xs, []float64{10, 10}, 0.95), (Interval{0.5, 0.5, 0.5}); got != want {
		t.Errorf("MedianRatio = %v, want %v", got, want)
	}
}

// A 95 % interval is only worth its name if it holds the truth in about 95 of
// 100 experiments. With 200 experiments the count's standard deviation is 3,
// so the bounds below are four of them wide, plus what the percentile
// bootstrap of a median is known to lose at 25 samples.
func TestIntervalsHoldTheTruthAsOftenAsTheySay(t *testing.T) {
	const experiments, n = 200, 25
	tests := []struct {
		name string
		draw func(*rand.Rand) Interval
		want float64
	}{
		{"median of a log-normal", func(r *rand.Rand) Interval {
			return QuantileInterval(logNormal(r, n, 0), 0.5, 0.95)
		}, 1},
		{"median of a uniform", func(r *rand.Rand) Interval {
			xs := make([]float64, n)
			for i := range xs {
				xs[i] = r.Float64()
			}
			return QuantileInterval(xs, 0.5, 0.95)
		}, 0.5},
		{"ratio of two log-normals", func(r *rand.Rand) Interval {
			return MedianRatio(logNormal(r, n, math.Log(3)), logNormal(r, n+1, 0), 0.95)
		}, 3},
		{"ratio of drifting pairs", func(r *rand.Rand) Interval {
			a, b := make([]float64, n), make([]float64, n)
			for i := range a {
				drift := 1 + float64(i)/10
				a[i] = 2 * drift * math.Exp(0.05*r.NormFloat64())
				b[i] = drift * math.Exp(0.05*r.NormFloat64())
			}
			return MedianRatio(a, b, 0.95)
		}, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			held := 0
			for range experiments {
				if ci := tt.draw(rng); ci.Low <= tt.want && tt.want <= ci.High {
					held++
				}
			}
			if held < 172 || held == experiments {
				t.Errorf("the interval held %v in %d of %d experiments, want about 190", tt.want, held, experiments)
			}
		})
	}
}

func TestPairsCancelDrift(t *testing.T) {
	// The machine slows down tenfold in the course of the run, for both peers.
	var a, b []float64
	for i := range 30 {
		drift := 1 + float64(i)*9/29
		a, b = append(a, 2*drift), append(b, drift)
	}
	paired := MedianRatio(a, b, 0.95)
	apart := MedianRatio(a, b[:29], 0.95)
	if paired.High-paired.Low > 1e-9 {
		t.Errorf("paired interval %v is wide, want none", paired)
	}
	if apart.High-apart.Low < 0.5 {
		t.Errorf("interval %v of series resampled apart is narrow: the test shows nothing", apart)
	}
}

func TestMoreSamplesNarrowTheInterval(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	few := QuantileInterval(logNormal(rng, 10, 0), 0.5, 0.95)
	many := QuantileInterval(logNormal(rng, 1000, 0), 0.5, 0.95)
	if many.High-many.Low > (few.High-few.Low)/3 {
		t.Errorf("interval of 1000 samples %v, of 10 samples %v", many, few)
	}
}

func ramp(n int) []float64 {
	xs := make([]float64, n)
	for i := range xs {
		xs[i] = float64(i)
	}
	return xs
}

func logNormal(r *rand.Rand, n int, mu float64) []float64 {
	xs := make([]float64, n)
	for i := range xs {
		xs[i] = math.Exp(mu + 0.5*r.NormFloat64())
	}
	return xs
}
