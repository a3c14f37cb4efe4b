// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"slices"
	"testing"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
)

// Containers that were not started end with their sandbox.
func TestTheEndOfASandboxEndsWhatWasNotStarted(t *testing.T) {
	c := newCell(t, Created)
	l := c.sb.currentLife()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		c.watchCreated(c.sb, l)
	}()
	c.f.endKernel()
	for _, id := range []string{"other", "box"} {
		if r, err := c.Wait(t.Context(), &taskapi.WaitRequest{ID: id}); err != nil || r.GetExitStatus() != killedStatus {
			t.Errorf("Wait of %s = %v, %v, want %d", id, r, err, killedStatus)
		}
	}
	<-watched
	c.wantState(t, Stopped)
	if got := c.exits(); !slices.Equal(got, []string{"other", "box"}) {
		t.Errorf("ends %v", got)
	}
}
