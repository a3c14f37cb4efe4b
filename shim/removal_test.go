// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"errors"
	"testing"
	"time"
)

// What takes long goes on behind the verb's answer, and the process waits for it at its end.
func TestARemovalOutlivesItsVerb(t *testing.T) {
	b := newBench(t)
	full := errors.New("immutable")
	if err := b.sb.outlive(func() error { return full }); !errors.Is(err, full) {
		t.Errorf("a removal that fails at once = %v, want %v", err, full)
	}
	goOn, finished := make(chan struct{}), make(chan struct{})
	began := time.Now()
	if err := b.sb.outlive(func() error { <-goOn; return full }); err != nil {
		t.Errorf("a removal that takes long = %v", err)
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("the verb was answered after %s", took)
	}
	go func() {
		b.FinishRemovals()
		close(finished)
	}()
	select {
	case <-finished:
		t.Error("the process does not wait for what is still being removed")
	case <-time.After(10 * time.Millisecond): // as long as nobody lets it go on, any time does
	}
	close(goOn)
	<-finished
}

// Two sandboxes of one name that share a state directory do not share their volumes: the
// second is refused, and the first has what it had.
func TestVolumesOfASandboxThatLivesAreRefused(t *testing.T) {
	one := newBench(t)
	if err := one.sb.holdVolumes(); err != nil {
		t.Fatal(err)
	}
	other := newBench(t)
	other.sb.cfg.StateDir, other.sb.volumesDir = one.sb.cfg.StateDir, one.sb.volumesDir
	var undo undoList
	if err := other.sb.settleVolumes(&undo); err == nil {
		t.Error("a sandbox takes the volumes of another that lives")
	}
	undo.run(t.Context())
	if err := other.sb.dropVolumes(nil); err != nil {
		t.Error(err)
	}
	if names := lost(t, one.sb.cfg.StateDir); len(names) > 0 {
		t.Errorf("set aside are %q", names)
	}
	if err := one.sb.dropVolumes(nil); err != nil {
		t.Error(err)
	}
}
