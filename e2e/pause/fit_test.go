// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package pause

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/shim/config"
)

// A side-car of another release that runsc starts and that says nothing.
func TestASideCarThatDoesNotFitIsDoneWithout(t *testing.T) {
	t.Parallel()
	real, err := harness.Program("ateom-gofer")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	gofer := filepath.Join(dir, "ateom-gofer")
	if err := os.Link(real, gofer); err != nil {
		b, err := os.ReadFile(real)
		if err == nil {
			err = os.WriteFile(gofer, b, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "gvisor-bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "gvisor-bin", job.SeatBinary), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	n := harness.NewNode(t, harness.Config{Config: config.Config{Gofer: gofer}})
	s := n.RunService(t, harness.ServiceContainer(harness.NewNetwork(t), 16, nil))
	for range 2 {
		pauseAndLook(t, s)
		n.Ateom(t, "tasks", "resume", s.ID)
		s.WantSame(t, s.Last())
	}
	log, err := os.ReadFile(n.LogPath())
	if err != nil || !strings.Contains(string(log), "plain files are used") {
		t.Errorf("the node's log does not say what is done (%v):\n%s", err, n.LastLog())
	}
}
