// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package treetest

import (
	"bytes"
	_ "embed" // for the walker
	"os/exec"
	"strings"
	"testing"
)

//go:embed walk.py
var walker string

// Python is the program that walks; `make packages` installs it.
const Python = "/usr/bin/python3"

// Walk describes the tree below dir, a line for each name: kind, mode, owner,
// modification time in nanoseconds, size, where a file has data and the SHA-256
// of that, the target of a symlink, a device's numbers, all extended attributes,
// and the names that are one file.
func Walk(t testing.TB, dir string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), Python, "-I", "-c", walker, dir)
	var diag bytes.Buffer
	cmd.Stderr = &diag
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("walk %s: %v; make packages installs what it needs\n%s", dir, err, diag.String())
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}
