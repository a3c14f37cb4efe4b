// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A containerd that gives up a shim runs two actions at once. The second finds nothing to do
// when the first is done, and does not make the bundle anew, which containerd has removed by
// then: runsc makes the directory of its log.
func TestTwoDeleteActionsAreOne(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "ready")
	d := newDeadShim(t, `for a; do case "$a" in --log=*) a=${a#--log=}; mkdir -p "${a%/*}";; esac; done
until [ -e '`+ready+`' ]; do sleep 0.01; done`)
	ended := make(chan error, 2)
	act := func() {
		_, err := (actions{name: "x"}).Stop(t.Context(), "box")
		if err == nil { // as containerd does
			err = os.RemoveAll(d.bundle)
		}
		ended <- err
	}
	go act()
	for { // until the first is busy
		if _, err := os.Stat(d.calls); err == nil {
			break
		}
		time.Sleep(look) // between two looks
	}
	go act()
	if err := os.WriteFile(ready, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	d.checkClean(t)
	if _, err := os.Stat(d.bundle); !os.IsNotExist(err) {
		t.Errorf("the bundle is there: %v", err)
	}
	if b, err := os.ReadFile(d.calls); err != nil || strings.Count(string(b), "delete --force") != 1 {
		t.Errorf("runsc was called with %q, %v, want one call", b, err)
	}
}

// What no context ends, a file system that hangs, does not keep the action from its answer.
func TestADeleteActionEndsInTime(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	hang := make(chan struct{})
	defer close(hang)
	err := inTime(ctx, time.Millisecond, "/bundles/box", func() error { <-hang; return nil })
	if err == nil || !strings.Contains(err.Error(), "clean up after the shim of /bundles/box") {
		t.Errorf("inTime = %v, want what was not done", err)
	}
}
