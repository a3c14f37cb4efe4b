// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite what is generated in the docs")

// TestDocsShowTheTransitions holds docs/lifecycle.md to the table in state.go.
func TestDocsShowTheTransitions(t *testing.T) {
	const path = "../docs/lifecycle.md"
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString("| from | to |\n|---|---|\n")
	for _, from := range []State{Created, Running, Pausing, Paused, Resuming, Committing, Stopped} {
		targets := "—"
		if len(transitions[from]) > 0 {
			var words []string
			for _, to := range transitions[from] {
				words = append(words, fmt.Sprintf("`%s`", to))
			}
			targets = strings.Join(words, ", ")
		}
		fmt.Fprintf(&table, "| `%s` | %s |\n", from, targets)
	}
	text := string(b)
	start := strings.Index(text, "| from | to |")
	end := strings.Index(text, "<!-- end of states -->")
	if start < 0 || end < start {
		t.Fatalf("%s has lost the marks of its table of states", path)
	}
	if text[start:end] == table.String() {
		return
	}
	if !*update {
		t.Fatalf("the table of states in %s is not that of state.go; run go test ./shim -run TestDocs -update", path)
	}
	if err := os.WriteFile(path, []byte(text[:start]+table.String()+text[end:]), 0o644); err != nil {
		t.Fatal(err)
	}
}
