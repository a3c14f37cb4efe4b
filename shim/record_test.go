// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"testing"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"

	"github.com/ateom/ateom/shim/record"
)

// The delete action that follows the Delete of the first container leaves the others'
// sandbox alone; if their shim dies, another one cleans up.
func TestTheNextContainerHasTheRecordOfTheSandbox(t *testing.T) {
	b := newBench(t)
	root, other := b.in(t, Running)
	root.bundle, other.bundle = t.TempDir(), t.TempDir()
	root.rootfs, root.mounted = "/bundles/box/rootfs", true
	for _, c := range []*container{root, other} {
		if err := record.Write(c.bundle, b.sb.record(c)); err != nil {
			t.Fatal(err)
		}
	}
	root.init.finish(0)
	root.mounted = false // nothing is mounted there
	if _, err := b.Delete(t.Context(), &taskapi.DeleteRequest{ID: "box"}); err != nil {
		t.Fatal(err)
	}
	if r, err := record.Read(root.bundle); r != nil || err != nil {
		t.Errorf("the root container's bundle has a record: %+v, %v", r, err)
	}
	r, err := record.Read(other.bundle)
	if err != nil || r == nil || r.Scratch != b.sb.scratch || r.Volumes != b.sb.volumesDir || r.Rootfs != "" {
		t.Errorf("the other's record is %+v, %v, want the sandbox's", r, err)
	}
}
