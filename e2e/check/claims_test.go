// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"path"
	"regexp"
	"strings"
	"testing"
)

// The threat model's table of claims names what shows each of them, as the path
// of a package and the names of tests in it, or files of a test.
const threatModel = "docs/security.md"

var (
	quoted   = regexp.MustCompile("`([^`]+)`")
	testName = regexp.MustCompile(`^(Test|Fuzz)\w+$`)
	testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
)

// Every claim of the threat model names a test, and what it names exists.
func TestEveryClaimOfTheThreatModelIsShown(t *testing.T) {
	known := map[string]bool{} // package/test and paths of files
	for _, file := range files(t) {
		known[file] = true
		known[path.Dir(file)] = true
		if strings.HasSuffix(file, "_test.go") {
			for _, m := range testFunc.FindAllStringSubmatch(read(t, file), -1) {
				known[path.Join(path.Dir(file), m[1])] = true
			}
		}
	}
	_, table, _ := strings.Cut(read(t, threatModel), "## Claims\n")
	table, _, _ = strings.Cut(table, "\n## ")
	claims := 0
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if len(cells) != 3 || cells[1] == "claim" {
			continue
		}
		claims++
		if shown := proofs(t, known, cells[2]); shown == 0 {
			t.Errorf("%s names no test for: %s", threatModel, cells[1])
		}
	}
	if claims < 15 {
		t.Errorf("%s has %d claims in its table", threatModel, claims)
	}
}

// proofs counts the tests that a cell names, which must be known.
func proofs(t *testing.T, known map[string]bool, cell string) int {
	t.Helper()
	dir, n := "", 0
	for _, m := range quoted.FindAllStringSubmatch(cell, -1) {
		name := m[1]
		switch at := path.Join(dir, name); {
		case testName.MatchString(name), strings.HasSuffix(name, ".txt"):
			n++
			if !known[at] {
				t.Errorf("%s names %s, which is not there", threatModel, at)
			}
		default:
			dir = name
			if !known[dir] {
				t.Errorf("%s names the package %s, which is not there", threatModel, dir)
			}
		}
	}
	return n
}
