// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/artifacts/job"
)

func TestCheckPassesWithRunscOfTheSameGVisor(t *testing.T) {
	bins, runsc := programs(t)
	t.Setenv("TMPDIR", t.TempDir())
	if err := Check(t.Context(), runsc, filepath.Join(bins, "gvisor-bin", job.SeatBinary), Trial); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(os.Getenv("TMPDIR"))
	must(t, err)
	for _, e := range left {
		t.Errorf("%s is left behind", e.Name())
	}
}

func TestCheckFailsWhenTheTwoDoNotFit(t *testing.T) {
	bins, runsc := programs(t)
	gofer := filepath.Join(bins, "gvisor-bin", job.SeatBinary)
	script := func(text string) string {
		path := filepath.Join(t.TempDir(), "program")
		must(t, os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700))
		return path
	}
	for _, tc := range []struct {
		name, runsc, gofer string
		says               string
	}{
		{"a runsc that does not start the gofer", script("echo no such command; exit 1"), gofer, "did not start it"},
		{"a runsc that succeeds", script("exit 0"), gofer, "nonsense"},
		{"no runsc", filepath.Join(t.TempDir(), "none"), gofer, "did not start it"},
		{"a gofer that hangs up", script(`exec ` + runsc + ` "$@"`), script("exit 0"), "did not start it"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Setenv("TMPDIR", t.TempDir())
			err := Check(t.Context(), tc.runsc, tc.gofer, TrustVersions)
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error %v, want one that says %q", err, tc.says)
			}
			if tc.says != "nonsense" && !errdefs.IsFailedPrecondition(err) {
				t.Errorf("error %v, want a failed precondition", err)
			}
		})
	}
}
