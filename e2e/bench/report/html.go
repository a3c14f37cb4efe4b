// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	_ "embed"
	"html/template"
	"io"
	"time"
)

//go:embed page.html
var pageSource string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"amount":   Amount,
	"claims":   claimPlot,
	"plots":    plots,
	"class":    verdictClass,
	"found":    Claim.found,
	"interval": Claim.interval,
	"miss":     func(r Row, c Claim) string { return r.Miss(c) },
	"memory":   func(b int64) string { return Amount(float64(b), "bytes") },
	"day":      func(t time.Time) string { return t.Format(time.DateTime) + " UTC" },
	"rounded":  func(d time.Duration) string { return d.Round(time.Second).String() },
	"below":    func(y float64) float64 { return y + 4 },
	"minus":    func(a, b float64) float64 { return a - b },
	"plus":     func(a, b float64) float64 { return a + b },
}).Parse(pageSource))

// WriteHTML writes the report as one page that needs nothing else.
func (r *Report) WriteHTML(w io.Writer) error { return page.Execute(w, r) }

// plots returns one plot for each thing that was measured, in order: what is
// drawn over one axis can be compared.
func plots(series []Series) []plot {
	type key struct{ what, unit string }
	var order []key
	groups := map[key][]Series{}
	for _, s := range series {
		k := key{s.What, s.Unit}
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], s)
	}
	var out []plot
	for _, k := range order {
		out = append(out, seriesPlot(groups[k], k.unit))
	}
	return out
}
