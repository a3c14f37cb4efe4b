// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// operations is the document that lists what Prometheus is told.
func operations(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// quoted are the words of a text that are set as code.
func quoted(text string) (words []string) {
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(text, -1) {
		words = append(words, m[1])
	}
	return words
}

// A documented metric is a row of the table.
type documented struct {
	Type   string
	Labels []string
	// values are the words that the row says the first label can have.
	values []string
}

// Every metric is in the document with its type and labels, and nothing else is.
func TestMetricsAreAsDocumented(t *testing.T) {
	want := map[string]documented{}
	for line := range strings.Lines(operations(t)) {
		cells := strings.Split(line, "|")
		if len(cells) < 6 || !strings.HasPrefix(cells[1], " `"+namespace+"_") {
			continue
		}
		labels, values, _ := strings.Cut(cells[3], ":")
		d := documented{Type: strings.TrimSpace(cells[2]), Labels: quoted(labels), values: quoted(values)}
		slices.Sort(d.Labels)
		want[quoted(cells[1])[0]] = d
	}
	r := NewRegistry("test")
	r.MustRegister(NewSandboxes(t.TempDir()))
	v := NewVerbs(r)
	for _, e := range samples() {
		v.Add(e)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]documented{}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), namespace+"_") {
			continue // Go's own and the process's
		}
		d := documented{Type: strings.ToLower(f.GetType().String())}
		for _, l := range f.GetMetric()[0].GetLabel() {
			d.Labels = append(d.Labels, l.GetName())
		}
		got[f.GetName()] = d
	}
	if diff := cmp.Diff(want, got, cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".values" }, cmp.Ignore())); diff != "" {
		t.Errorf("metrics (-documented +registered):\n%s", diff)
	}
	if diff := cmp.Diff(states, want["ateom_sandboxes"].values); diff != "" {
		t.Errorf("states (-code +documented):\n%s", diff)
	}
	named := set(want["ateom_verb_duration_seconds"].values...)
	if diff := cmp.Diff(verbs, named); diff != "" {
		t.Errorf("verbs (-code +documented):\n%s", diff)
	}
}

// The phases that shims tell of have names here and in the document: one that has
// none would be another's.
func TestPhasesAreThoseOfTheShim(t *testing.T) {
	inDocs := set("failed")
	for line := range strings.Lines(operations(t)) {
		words := quoted(line)
		if len(words) > 1 && verbs[words[0]] && strings.HasPrefix(line, "| `"+words[0]+"` |") {
			maps.Copy(inDocs, set(words[1:]...))
		}
	}
	if diff := cmp.Diff(phases, inDocs); diff != "" {
		t.Errorf("phases (-code +documented):\n%s", diff)
	}
	files, err := filepath.Glob("../../../shim/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	// Those of hooks are named after their moments.
	marked := set("pre-save", "post-save", "post-restore")
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?:\.mark|\.markRestore|Phase\{Name:)[( ]"([a-z-]+)"`).FindAllStringSubmatch(string(text), -1) {
			marked[m[1]] = true
		}
	}
	if diff := cmp.Diff(phases, marked); diff != "" {
		t.Errorf("phases (-agent +shim):\n%s", diff)
	}
}
