// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package chart draws the sizes of a snapshot and its ancestors as one HTML
// page that needs nothing else: no script, no other file.
package chart

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/cmd/ctr-ateom/node"
	"github.com/ateom/ateom/cmd/ctr-ateom/view"
)

// A Page is what is drawn.
type Page struct {
	Manifest *artifacts.Manifest
	// Command is the shell command that would start a task from the snapshot.
	Command string
	// Generations are the snapshot's ancestors, oldest first, and itself.
	Generations []Generation
}

// A Generation is one snapshot of a lineage.
type Generation struct {
	ID, Scope string
	Created   time.Time
	Measures  []node.Measure
}

// Geometry of a generation's picture. It is as wide as the page; its parts are
// placed in units of which it has width.
const (
	width     = 640
	barHeight = 14 // pixels, and so is height
	newY      = barHeight + 3
	height    = newY + barHeight
)

// palette colours the parts in the order of their names' first appearance.
var palette = []string{"#3b6ea5", "#e08e2b", "#5a9e57", "#b3506b", "#7d6bb0", "#8c6d46", "#4aa3a2", "#888888"}

//go:embed page.html
var source string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"bytes": view.Bytes, "time": view.Time, "clean": view.Clean,
}).Parse(source))

// Write draws the page. What others wrote into a manifest is escaped.
func (p Page) Write(w io.Writer) error {
	if err := page.Execute(w, p.draw()); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}

// A drawing is the page with everything placed.
type drawing struct {
	Page
	Width, Height, Bar, NewY int
	Rows                     []row
	Legend                   []key
	Last                     []node.Measure
}

// A row has two bars: what a generation takes, and what of it is new.
type row struct {
	Generation
	Stored, New       []bar
	StoredSum, NewSum int64
}

type bar struct {
	X, Width float64
	Colour   string
	// Title is shown when the mouse rests on the bar.
	Title string
}

type key struct{ Colour, Part string }

func (p Page) draw() drawing {
	d := drawing{Page: p, Width: width, Height: height, Bar: barHeight, NewY: newY}
	colours := make(map[string]string)
	var most int64 = 1
	for _, g := range p.Generations {
		var sum int64
		for _, m := range g.Measures {
			sum += m.Stored
			if colours[m.Part] == "" {
				colours[m.Part] = palette[len(colours)%len(palette)]
				d.Legend = append(d.Legend, key{colours[m.Part], m.Part})
			}
		}
		most = max(most, sum)
	}
	for _, g := range p.Generations {
		r := row{Generation: g}
		r.Stored, r.StoredSum = bars(g.Measures, most, colours, func(m node.Measure) int64 { return m.Stored })
		r.New, r.NewSum = bars(g.Measures, most, colours, func(m node.Measure) int64 { return m.New })
		d.Rows = append(d.Rows, r)
	}
	if n := len(p.Generations); n > 0 {
		d.Last = slices.Clone(p.Generations[n-1].Measures)
	}
	return d
}

// bars stacks the parts from left to right.
func bars(measures []node.Measure, most int64, colours map[string]string, value func(node.Measure) int64) (out []bar, sum int64) {
	scale := float64(width) / float64(most)
	for _, m := range measures {
		v := value(m)
		out = append(out, bar{
			X: float64(sum) * scale, Width: float64(v) * scale, Colour: colours[m.Part],
			Title: strings.Join([]string{view.Clean(m.Part), view.Bytes(v)}, ": "),
		})
		sum += v
	}
	return out, sum
}
