// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"os"
	"path/filepath"
	"testing"

	criv1 "k8s.io/cri-api/pkg/apis/runtime/v1"
)

var checkpoints = []check{
	{"a checkpoint of a container is refused, and it runs on", checkpointIsRefused},
}

// containerd 1.7 has no such call; 2.x asks for CRIU before it asks the shim.
func checkpointIsRefused(t *testing.T, n *node) {
	c := n.run(t).start(t, "app", counting)
	c.awaitLine(t, "3")
	path := filepath.Join(t.TempDir(), "checkpoint.tar")
	_, err := n.CheckpointContainer(bounded(t), &criv1.CheckpointContainerRequest{ContainerId: c.id, Location: path})
	if n.version == "1.7." {
		wantText(t, "a checkpoint", err, "not implemented")
	} else {
		wantText(t, "a checkpoint", err, c.id, "cannot be saved alone", "kubectl ateom commit")
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a checkpoint was written")
	}
	c.wantReady(t)
	c.wantOn(t)
}
