// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ateom/ateom/e2e/bench/rows"
)

func TestRowsAreParsed(t *testing.T) {
	tests := []struct {
		text string
		want map[int]bool
		fail string
	}{
		{"", nil, ""},
		{"2", map[int]bool{2: true}, ""},
		{"2, 16", map[int]bool{2: true, 16: true}, ""},
		{"two", nil, "not a number"},
		{"2,", nil, "not a number"},
		{"99", nil, "no row 99"},
	}
	for _, tt := range tests {
		got, err := parseRows(tt.text)
		if tt.fail != "" {
			if err == nil || !strings.Contains(err.Error(), tt.fail) {
				t.Errorf("parseRows(%q) = %v, want an error with %q", tt.text, err, tt.fail)
			}
			continue
		}
		if err != nil || !maps.Equal(got, tt.want) {
			t.Errorf("parseRows(%q) = %v, %v, want %v", tt.text, got, err, tt.want)
		}
	}
}

func TestEveryRowHasItsOwnNumberAndTitle(t *testing.T) {
	seen, last := map[string]bool{}, 0
	for _, r := range rows.All() {
		if r.ID <= last || r.Title == "" || seen[r.Title] || r.Run == nil {
			t.Errorf("row %d %q after row %d", r.ID, r.Title, last)
		}
		seen[r.Title], last = true, r.ID
	}
}

func TestPagesAreWrittenAnewFromAFile(t *testing.T) {
	dir := t.TempDir()
	o := options{from: "report/testdata/report.json", out: filepath.Join(dir, "out"), docs: filepath.Join(dir, "performance.md")}
	if err := run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	for path, golden := range map[string]string{
		filepath.Join(o.out, "bench.html"): "report/testdata/report.html",
		filepath.Join(o.out, "bench.json"): "report/testdata/report.json",
		o.docs:                             "report/testdata/report.md",
	} {
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s differs from %s", path, golden)
		}
	}
}

func TestWithoutRunscThereIsAHint(t *testing.T) {
	missing := tools{runsc: filepath.Join(t.TempDir(), "runsc")}
	if err := missing.resolve(); err == nil || !strings.Contains(err.Error(), "make build") {
		t.Errorf("resolve = %v, want a hint", err)
	}
}
