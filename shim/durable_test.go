// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/shim/volumes"
)

// The DurableDirs of a paused sandbox whose shim died are the snapshot's until a new one
// runs from it: a start that was cut off, or that failed and was deleted, leaves them to the
// next. After that they are the new sandbox's, and go with it.
func TestLentVolumesWaitForAStartThatSucceeds(t *testing.T) {
	b := newBench(t)
	id := artifacts.NewID(time.Now())
	crashed := volumes.Dir(b.sb.cfg.StateDir, "ns", "crashed")
	if err := os.MkdirAll(filepath.Join(crashed, "home"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := volumes.NotePaused(crashed, id); err != nil {
		t.Fatal(err)
	}
	if err := volumes.SetAside(b.sb.cfg.StateDir, crashed); err != nil {
		t.Fatal(err)
	}
	begin := func() {
		t.Helper()
		b.sb.origin = &origin{manifest: &artifacts.Manifest{ID: id}, local: true, release: func() {}}
		if err := b.sb.settleVolumes(&undoList{}); err != nil {
			t.Fatal(err)
		}
		if !b.sb.origin.volumesPresent {
			t.Fatalf("the volumes of %s are not taken back; set aside are %q", id, lost(t, b.sb.cfg.StateDir))
		}
	}

	begin()
	// The delete action of a shim that died, with which its hold has ended.
	if err := errors.Join(b.sb.volumesHold.Leave(), volumes.SetAside(b.sb.cfg.StateDir, b.sb.volumesDir)); err != nil {
		t.Fatal(err)
	}
	begin()
	// The Delete of a start that failed.
	if err := b.sb.dropVolumes(b.sb.origin); err != nil {
		t.Fatal(err)
	}
	begin()
	if err := b.sb.keepVolumes(); err != nil {
		t.Fatal(err)
	}
	if err := b.sb.dropVolumes(b.sb.origin); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(b.sb.volumesDir); !os.IsNotExist(err) {
		t.Errorf("the volumes of a deleted task: %v", err)
	}
	if names := lost(t, b.sb.cfg.StateDir); len(names) > 0 {
		t.Errorf("set aside are %q, want nothing", names)
	}
}
