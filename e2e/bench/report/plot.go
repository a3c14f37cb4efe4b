// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"math"

	"github.com/ateom/ateom/e2e/bench/stats"
)

// Geometry of the plots, in the units of an SVG's viewBox.
const (
	plotWidth  = 900.0
	labelWidth = 250.0
	textWidth  = 190.0 // at the right end
	lineHeight = 28.0
	plotMargin = 24.0
)

// A plot is horizontal lines of marks over one axis.
type plot struct {
	Width, Height float64
	Axis          []tick
	Lines         []line
}

// A tick of the axis.
type tick struct {
	X     float64
	Label string
}

// A line is one series or one claim.
type line struct {
	Y      float64
	Label  string
	Text   string // at the right of the marks
	Class  string
	Dots   []float64
	Low    float64
	High   float64
	Point  float64
	Target float64
	// Empty lines have a label and a text only.
	Empty bool
}

// seriesPlot draws the samples of series of one unit.
func seriesPlot(series []Series, unit string) plot {
	top := 0.0
	for _, s := range series {
		top = max(top, stats.Quantile(append([]float64{0}, s.Samples...), 1))
	}
	step := niceStep(top)
	limit := step * math.Ceil(top/step)
	if limit == 0 {
		limit = 1
	}
	x := func(v float64) float64 { return labelWidth + v/limit*(plotWidth-labelWidth-textWidth) }
	p := plot{Width: plotWidth}
	for _, s := range series {
		l := line{Y: plotMargin + float64(len(p.Lines))*lineHeight, Label: s.Peer + ", " + s.What, Class: peerClass(s.Peer)}
		if len(s.Samples) == 0 {
			l.Empty, l.Text = true, "missing"
		} else {
			m := s.Median()
			l.Point, l.Low, l.High, l.Text = x(m.Point), x(m.Low), x(m.High), Amount(m.Point, unit)
			for _, v := range s.Samples {
				l.Dots = append(l.Dots, x(v))
			}
		}
		p.Lines = append(p.Lines, l)
	}
	for v := 0.0; v <= limit*1.001; v += step {
		p.Axis = append(p.Axis, tick{X: x(v), Label: Amount(v, unit)})
	}
	p.Height = plotMargin*2 + float64(len(p.Lines))*lineHeight
	return p
}

// claimPlot draws every claim's measurement as a share of its target, on a
// logarithmic axis: left of the line at 1 is met.
func claimPlot(rows []Row) plot {
	const decades = 4.0 // from a thousandth of the target to ten times it
	x := func(v float64) float64 {
		at := min(max(math.Log10(v)+3, 0), decades)
		return labelWidth + at/decades*(plotWidth-labelWidth-textWidth)
	}
	p := plot{Width: plotWidth}
	for _, r := range rows {
		for _, c := range r.Claims {
			l := line{
				Y: plotMargin + float64(len(p.Lines))*lineHeight, Label: "row " + trim(float64(r.ID)) + ", " + c.What,
				Class: verdictClass(c.Verdict), Target: x(1), Text: c.found() + " (" + c.Text + ")",
			}
			if c.Verdict == NotMeasured {
				l.Empty = true
			} else {
				l.Point, l.Low, l.High = x(c.Found.Point/c.Target), x(c.Found.Low/c.Target), x(c.Found.High/c.Target)
			}
			p.Lines = append(p.Lines, l)
		}
	}
	for _, v := range []float64{0.001, 0.01, 0.1, 1, 10} {
		p.Axis = append(p.Axis, tick{X: x(v), Label: trim(v)})
	}
	p.Height = plotMargin*2 + float64(len(p.Lines))*lineHeight
	return p
}

// niceStep returns a step of 1, 2 or 5 times a power of ten that divides top
// into four to ten parts.
func niceStep(top float64) float64 {
	if top <= 0 {
		return 1
	}
	base := math.Pow(10, math.Floor(math.Log10(top)))
	for _, f := range []float64{0.1, 0.2, 0.5, 1} {
		if top/(f*base) <= 10 {
			return f * base
		}
	}
	return base
}

func peerClass(peer string) string {
	if peer == "ateom" {
		return "own"
	}
	return "other"
}

func verdictClass(v Verdict) string {
	switch v {
	case Meets:
		return "meets"
	case Likely:
		return "likely"
	case Misses:
		return "misses"
	}
	return "unmeasured"
}
