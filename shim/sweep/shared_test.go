// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package sweep

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ateom/ateom/shim/volumes"
)

// Configurations with run directories of their own may have one state directory: a sweep of
// the one leaves the volumes of the other's sandboxes where they are, whatever state
// these are in, and takes what a crash of either has left.
func TestASweepLeavesTheVolumesOfOtherRunDirectories(t *testing.T) {
	one, other := newNode(t), newNode(t)
	other.cfg.StateDir = one.cfg.StateDir
	for _, id := range []string{"running", "paused"} {
		hold, err := volumes.Make(one.volumes(id))
		must(t, err)
		defer hold.Leave()
		defer one.sandbox(id).Leave()
	}
	must(t, volumes.NotePaused(one.volumes("paused"), snap))
	// The shim of orphan died, its sandbox runs on.
	for _, id := range []string{"orphan", "dead"} {
		must(t, one.sandbox(id).Leave())
	}
	sentry := exec.Command("sh", "-c", "read x", "runsc-sandbox", "--root="+one.root("orphan"))
	stdin, err := sentry.StdinPipe()
	must(t, err)
	must(t, sentry.Start())
	defer func() {
		stdin.Close()
		_ = sentry.Wait() // it ends with its input, unhappily
	}()
	for _, mode := range []Mode{List, Delete} {
		got, err := Node(other.cfg, mode)
		must(t, err)
		if diff := cmp.Diff([]string{one.volumes("dead")}, got); diff != "" {
			t.Errorf("left over (-want +got):\n%s", diff)
		}
		for _, id := range []string{"running", "paused", "orphan"} {
			if text, err := os.ReadFile(filepath.Join(one.volumes(id), "home", "precious")); err != nil || string(text) != id {
				t.Errorf("after mode %v the volumes of %s hold %q, %v", mode, id, text, err)
			}
			if exists(other.scratch(id)) {
				t.Errorf("after mode %v there is %s", mode, other.scratch(id))
			}
		}
	}
	if found, err := filepath.Glob(filepath.Join(one.cfg.StateDir, "lost", "*")); err != nil || len(found) != 1 {
		t.Errorf("set aside are %q, %v, want those of the dead sandbox", found, err)
	}
}
