// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/ateom/ateom/e2e/bench/lab"
	"github.com/ateom/ateom/e2e/harness"
)

// namedNamespaces is where CNI's network namespaces are mounted.
const namedNamespaces = "/run/netns"

// Reboot does to the node what a power cut does: the kubelet, containerd and all
// that they have started end without a word, and with them mounts, network
// namespaces, cgroups and volatile files go. Then both start again. The control
// plane is elsewhere.
func (k *Cluster) Reboot(t testing.TB) {
	t.Helper()
	if err := k.kubelet.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-k.kubelet.ended
	k.Node.Reboot(t)
	err := errors.Join(lab.UnmountBelow(filepath.Join(KubeletDir, "pods")), lab.UnmountBelow(namedNamespaces), harness.EmptyCgroups())
	if err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(namedNamespaces, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.startKubelet(); err != nil {
		t.Fatal(err)
	}
}
