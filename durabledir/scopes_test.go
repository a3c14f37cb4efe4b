// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

// TestScopesTable walks the table of docs/durabledir.md, which has a row for
// every pair of annotations.
func TestScopesTable(t *testing.T) {
	rows := docsTable(t, "scopes")
	if len(rows) != 16 {
		t.Errorf("%d rows, want one for each of 4 times 4 values", len(rows))
	}
	seen := map[string]bool{}
	for _, row := range rows {
		name := row[0] + "," + row[1]
		if seen[name] {
			t.Errorf("the table has %s twice", name)
		}
		seen[name] = true
		t.Run(name, func(t *testing.T) {
			unset := strings.NewReplacer("unset", "")
			pause, commit, err := ParseScopes(unset.Replace(row[0]), unset.Replace(row[1]))
			if row[2] == "refused" {
				if !errors.Is(err, errdefs.ErrInvalidArgument) {
					t.Errorf("error %v, want ErrInvalidArgument", err)
				}
				return
			}
			if err != nil || string(pause) != row[2] || string(commit) != row[3] {
				t.Errorf("got %s, %s, %v; want %s, %s", pause, commit, err, row[2], row[3])
			}
		})
	}
}

// docsTable returns the rows of the table with a mark before it.
func docsTable(t *testing.T, mark string) [][]string {
	t.Helper()
	text, err := os.ReadFile("../docs/durabledir.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "<!-- "+mark+":")
	table, _, ended := strings.Cut(rest, "<!-- end of "+mark+" -->")
	if !ok || !ended {
		t.Fatalf("no table %q in the docs", mark)
	}
	var rows [][]string
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if len(cells) < 2 {
			continue
		}
		cells[0] = strings.TrimPrefix(cells[0], "| ")
		cells[len(cells)-1] = strings.TrimSuffix(cells[len(cells)-1], " |")
		rows = append(rows, cells)
	}
	return rows[1:] // without the heading
}

func TestScopeWordsAreExact(t *testing.T) {
	for _, word := range []string{"full", "DATA", " Full", "none", "0"} {
		for _, pair := range [][2]string{{word, ""}, {"", word}} {
			if _, _, err := ParseScopes(pair[0], pair[1]); !errors.Is(err, errdefs.ErrInvalidArgument) {
				t.Errorf("ParseScopes(%q): error %v, want ErrInvalidArgument", pair, err)
			}
		}
	}
}

func TestParseOnResume(t *testing.T) {
	for s, want := range map[string]OnResume{"": ColdBoot, "ColdBoot": ColdBoot, "Golden": Golden} {
		if got, err := ParseOnResume(s); err != nil || got != want {
			t.Errorf("ParseOnResume(%q) = %s, %v; want %s", s, got, err, want)
		}
	}
	if _, err := ParseOnResume("golden"); !errors.Is(err, errdefs.ErrInvalidArgument) {
		t.Errorf("error %v, want ErrInvalidArgument", err)
	}
}
