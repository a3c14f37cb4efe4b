// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// longest is how many lines a file of Go may have before it asks to be split.
const longest = 400

var (
	generated  = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)
	unfinished = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b|\bt\.Sk` + `ip(Now|f)?\(`)
	// skips are the only lines that may leave a test out, by file: what is missing
	// there is a part of the machine's kernel that nobody can install.
	skips  = map[string]string{"durabledir/tree_test.go": `	t.Sk` + `ip("NOT TESTED: this kernel lacks " + what)`}
	header = []string{"Copyright The ateom Authors.", "SPDX-License-Identifier: Apache-2.0"}
)

// wantsHeader reports whether a file of this name and content starts with the
// licence header, and what marks a comment in it.
func wantsHeader(path, text string) (comment string, ok bool) {
	switch name := filepath.Base(path); {
	case strings.HasSuffix(name, ".go"), strings.HasSuffix(name, ".proto"):
		return "// ", !generated.MatchString(text)
	case name == "Makefile", name == "BUILD", name == "MODULE.bazel", strings.HasPrefix(text, "#!"):
		return "# ", true
	}
	return "", false
}

func TestFilesStartWithTheLicenceHeader(t *testing.T) {
	for _, path := range files(t) {
		if strings.Contains(path, "testdata/") {
			continue
		}
		text := read(t, path)
		comment, ok := wantsHeader(path, text)
		if !ok {
			continue
		}
		lines := strings.Split(text, "\n")
		if strings.HasPrefix(text, "#!") {
			lines = lines[1:]
		}
		want := []string{comment + header[0], comment + header[1]}
		if len(lines) < 2 || !slices.Equal(lines[:2], want) {
			t.Errorf("%s does not start with the header %q", path, want)
		}
	}
}

func TestGoFilesAreFinishedAndShort(t *testing.T) {
	for _, path := range files(t) {
		if !strings.HasSuffix(path, ".go") {
			continue
		}
		text := read(t, path)
		if generated.MatchString(text) {
			continue
		}
		if n := strings.Count(text, "\n"); n > longest {
			t.Errorf("%s has %d lines: split it by concern (at most %d)", path, n, longest)
		}
		for i, line := range strings.Split(text, "\n") {
			if found := unfinished.FindString(line); found != "" && line != skips[path] {
				t.Errorf("%s:%d: %q: finish it, or file an issue", path, i+1, found)
			}
		}
	}
}

func TestNoFileHasMarksOfAConflict(t *testing.T) {
	marks := regexp.MustCompile(`(?m)^(<{7}|>{7}) \S`)
	for _, path := range files(t) {
		if mark := marks.FindString(read(t, path)); mark != "" {
			t.Errorf("%s has %q at the beginning of a line: two versions of it were not made one", path, mark)
		}
	}
}

// Sleeping is no way to wait for something else: such a test is slow where it
// works and fails where the machine is slower. A sleep that is the thing tested
// (a slow peer, a program's own delay) says so at the end of its line.
func TestNoTestSleeps(t *testing.T) {
	sleeps := regexp.MustCompile(`\btime\.Sl` + `eep\(`)
	for _, path := range files(t) {
		if !strings.HasSuffix(path, "_test.go") {
			continue
		}
		for i, line := range strings.Split(read(t, path), "\n") {
			if sleeps.MatchString(line) && !strings.Contains(line, " // ") {
				t.Errorf("%s:%d: sleeps; wait for what is to happen, with a bound, or say at the line's end why time is what is tested", path, i+1)
			}
		}
	}
}

func TestTypesHaveNoEmptyNames(t *testing.T) {
	empty := regexp.MustCompile(`^\w*(Manager|Helper|Util|Utils)$`)
	for _, path := range files(t) {
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(top, path), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Errorf("parse %s: %v", path, err)
			continue
		}
		for _, name := range declaredTypes(f) {
			if empty.MatchString(name) {
				t.Errorf("%s: type %s: name it after what it is", path, name)
			}
		}
	}
}

func TestEveryMakeTargetIsExplained(t *testing.T) {
	// Targets with a slash are files; packages is a step of others.
	own := []string{"packages"}
	makefile := read(t, "Makefile")
	phony := regexp.MustCompile(`(?m)^\.PHONY: (\S+)$`).FindAllStringSubmatch(makefile, -1)
	if len(phony) < 10 {
		t.Fatalf("found only %d phony targets", len(phony))
	}
	help := run(t, top, "make", "help")
	for _, m := range phony {
		if target := m[1]; !strings.Contains(target, "/") && !slices.Contains(own, target) &&
			!strings.Contains(help, "make "+target+" ") {
			t.Errorf("make help does not explain %s: write `## what it does` behind it", target)
		}
	}
}
