// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package pause

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/v2/client"

	"github.com/ateom/ateom/e2e/harness"
)

// A runsc that is killed while it deletes a sandbox leaves a file in the root
// file system, with which runsc makes no sandbox of that name. It is no
// hindrance to a resume.
func TestWhatAKilledRunscHasLeftIsNoHindrance(t *testing.T) {
	t.Parallel()
	n := harness.NewNode(t, harness.Config{})
	task := n.Run(t, harness.Container{Args: []string{"sleep", "1000"}})
	roots, err := filepath.Glob(filepath.Join(n.Dir, "state", "io.containerd.runtime.v2.task", "*", task.ID, "rootfs"))
	if err != nil || len(roots) != 1 {
		t.Fatalf("root file systems %q, %v", roots, err)
	}
	if err := task.Pause(n.Context(t)); err != nil {
		t.Fatal(err)
	}

	if err := os.WriteFile(filepath.Join(roots[0], ".gvisor.filestore."+task.ID), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := task.Resume(n.Context(t)); err != nil {
		t.Fatal(err)
	}
	task.WantState(t, client.Running)
}
