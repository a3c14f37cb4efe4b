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

// TestDocsShowTheTables holds docs/lifecycle.md to the tables in state.go and verbs.go.
func TestDocsShowTheTables(t *testing.T) {
	const path = "../docs/lifecycle.md"
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for name, table := range map[string]string{"states": drawTransitions(), "verbs": drawRules()} {
		begin, end := "<!-- "+name+": ", "<!-- end of "+name+" -->"
		head, rest, ok := strings.Cut(text, begin)
		mark, rest, ok2 := strings.Cut(rest, "-->\n")
		_, tail, ok3 := strings.Cut(rest, end)
		if !ok || !ok2 || !ok3 {
			t.Fatalf("%s has lost the marks of its table of %s", path, name)
		}
		text = head + begin + mark + "-->\n" + table + end + tail
	}
	if text == string(b) {
		return
	}
	if !*update {
		t.Fatalf("the tables in %s are not those of state.go and verbs.go; run go test ./shim -run TestDocs -update", path)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func drawTransitions() string {
	var table strings.Builder
	table.WriteString("| from | to |\n|---|---|\n")
	for _, from := range states {
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
	return table.String()
}

// drawRules puts verbs with equal rows into one.
func drawRules() string {
	var table strings.Builder
	table.WriteString("| verb |")
	for _, s := range states {
		fmt.Fprintf(&table, " `%s` |", s)
	}
	table.WriteString("\n" + strings.Repeat("|---", len(states)+1) + "|\n")
	for i := 0; i < len(rules); {
		same := []string{string(rules[i].verb)}
		answers := rules[i].answers
		for i++; i < len(rules) && rules[i].answers == answers; i++ {
			same = append(same, string(rules[i].verb))
		}
		fmt.Fprintf(&table, "| %s |", strings.Join(same, ", "))
		for _, a := range answers {
			fmt.Fprintf(&table, " %s |", a)
		}
		table.WriteString("\n")
	}
	return table.String()
}
