// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"slices"
	"testing"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
)

// The cgroups of a pod's containers lie in that of its root container, which runsc
// would otherwise try for seconds to remove.
func TestAPauseRemovesTheRootContainerLast(t *testing.T) {
	b := newBench(t)
	f := b.withRuntime(t)
	b.runs(t, f)
	if _, err := b.Pause(t.Context(), &taskapi.PauseRequest{ID: "box"}); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if want := []string{"other", "box"}; !slices.Equal(f.deleted, want) {
		t.Errorf("removed %v, want %v", f.deleted, want)
	}
}
