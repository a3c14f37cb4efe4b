// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// top is the tree's root, seen from this package.
const top = "../.."

// run runs a command in dir and returns its output; a failure ends the test.
func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	var out, diag bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &diag
	if err := cmd.Run(); err != nil {
		t.Fatalf("run %s %s: %v\n%s%s", name, strings.Join(args, " "), err, out.String(), diag.String())
	}
	return out.String()
}

// files are the tree's own files by path from its root: those that git tracks,
// and those that it would.
func files(t *testing.T) []string {
	t.Helper()
	var found []string
	out := run(t, top, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	for _, path := range strings.Split(strings.TrimRight(out, "\x00"), "\x00") {
		// A file that was just removed is still tracked.
		if _, err := os.Lstat(filepath.Join(top, path)); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		found = append(found, path)
	}
	if len(found) < 20 {
		t.Fatalf("list files: git shows only %d of them: %q", len(found), found)
	}
	return found
}

// read returns the content of a file by its path from the tree's root.
func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(top, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// readAt returns the content of the file at path.
func readAt(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// protocVersion is the line that names the compiler: machines differ in it.
var protocVersion = regexp.MustCompile(`(?m)^// \tprotoc .*\n`)

func withoutVersions(text string) string { return protocVersion.ReplaceAllString(text, "") }
