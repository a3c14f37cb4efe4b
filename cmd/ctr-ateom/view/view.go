// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package view is how the commands show things: tables, sizes and times for
// people, JSON for programs, progress on standard error.
package view

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/ateom/ateom/cmd/wire"
)

// JSON writes v as one indented JSON value and a newline.
func JSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}

// Table writes rows in aligned columns under a header.
func Table(w io.Writer, header []string, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, strings.Join(header, "\t"))
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(tw, "\t")
			}
			fmt.Fprint(tw, Clean(cell))
		}
		fmt.Fprintln(tw)
	}
	return tw.Flush()
}

// Fields writes name and value pairs, one a line, the values aligned. A pair
// with an empty value is left out.
func Fields(w io.Writer, pairs ...[2]string) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, p := range pairs {
		if p[1] != "" {
			fmt.Fprintf(tw, "%s\t%s\n", p[0], Clean(p[1]))
		}
	}
	return tw.Flush()
}

// Bytes formats a size with a binary unit and three significant digits: "64.0 MiB".
func Bytes(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n), 0
	for f >= 1023.5 && unit < len(units)-1 {
		f /= 1024
		unit++
	}
	switch {
	case f < 10:
		return fmt.Sprintf("%.2f %s", f, units[unit])
	case f < 100:
		return fmt.Sprintf("%.1f %s", f, units[unit])
	}
	return fmt.Sprintf("%.0f %s", f, units[unit])
}

var units = []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}

// Duration formats a time span for people: "0.12 ms", "230 ms", "1.52 s".
func Duration(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Round(time.Millisecond)/time.Millisecond)
	case d < time.Minute:
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}

// Phases lists what a verb has spent its time on: "freeze 0.10 ms, save 230 ms".
func Phases(phases []wire.Phase) string {
	words := make([]string, 0, len(phases))
	for _, p := range phases {
		words = append(words, p.Name+" "+Duration(p.Took))
	}
	return strings.Join(words, ", ")
}

// Time formats a moment in UTC, to the second.
func Time(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// Clean replaces what would move the cursor or break a table. Names in a
// manifest were written by others.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, s)
}

// Dash returns s, or "-" for an empty table cell.
func Dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
