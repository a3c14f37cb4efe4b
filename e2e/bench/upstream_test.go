// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is changed in upstream's shim is there to be changed, in the commit that
// runsc is built from.
func TestTheScoreIsChangedWhereUpstreamSaysIt(t *testing.T) {
	t.Chdir("../..")
	dir, err := upstreamGo(t.Context(), "list", "-m", "-f", "{{.Dir}}", "gvisor.dev/gvisor")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "pkg/shim/v1/manager.go"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "manager.go")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := changeScore(path); err != nil {
		t.Fatal(err)
	}
	changed, err := os.ReadFile(path)
	if err != nil || len(text)-len(changed) != len("-999")-len("0") {
		t.Errorf("%d bytes became %d, %v", len(text), len(changed), err)
	}
	if err := changeScore(path); err == nil {
		t.Error("a source without that score was changed")
	}
}
