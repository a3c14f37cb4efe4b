// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"slices"
	"testing"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
)

// The cgroups of a pod's containers lie in that of its root container, which runsc
// would otherwise try for seconds to remove: when a Pause frees a sandbox, and when a Resume
// that fails takes back what it has made.
func TestTheRootContainerIsRemovedLast(t *testing.T) {
	b := newBench(t)
	f := b.withRuntime(t)
	b.runs(t, f)
	if _, err := b.Pause(t.Context(), &taskapi.PauseRequest{ID: "box"}); err != nil {
		t.Fatal(err)
	}
	wantRemoved := func(after string) {
		t.Helper()
		f.mu.Lock()
		defer f.mu.Unlock()
		if want := []string{"other", "box"}; !slices.Equal(f.deleted, want) {
			t.Errorf("%s has removed %v, want %v", after, f.deleted, want)
		}
		f.deleted = nil
	}
	wantRemoved("a Pause")
	restores := 0
	f.failing(func(call string) bool {
		if call != "restore" {
			return false
		}
		restores++
		return restores == 2 // the other's
	})
	if _, err := b.Resume(t.Context(), &taskapi.ResumeRequest{ID: "box"}); err == nil || restores != 2 {
		t.Fatalf("Resume = %v after %d restores, want a failure of the second", err, restores)
	}
	wantRemoved("a Resume that has failed")
}
