// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package programs

import (
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/client"

	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/shim/config"
)

func TestACommitOutlivesContainerd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := nodes(t, "file://"+dir, config.Gofer)
	spec := harness.ServiceContainer(harness.NewNetwork(t), 256, nil)
	s := a.RunService(t, spec)

	stopped := make(chan error, 1)
	go func() { stopped <- stopDuringUpload(a, dir) }()
	id := commit(t, s.Task, "Full")
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	a.Restart(t, syscall.SIGKILL)
	s.Reload(t)
	s.WantState(t, client.Running)
	s.WantSame(t, s.Last())

	spec.Network = harness.NewNetwork(t)
	if now := b.Wake(t, spec, id, "s", false).Ask(t); now.Nonce != s.Last().Nonce || now.File != s.Last().File {
		t.Errorf("the service woke up as %+v, it was %+v", now, s.Last())
	}
}

// stopDuringUpload kills the node's containerd when the first pack is in the
// store in dir.
func stopDuringUpload(n *harness.Node, dir string) error {
	err := harness.Poll(func() error {
		packs, err := filepath.Glob(filepath.Join(dir, "packs", "*", "*"))
		if err == nil && len(packs) == 0 {
			err = fmt.Errorf("no pack came to %s", dir)
		}
		return err
	})
	return errors.Join(err, n.Stop(syscall.SIGKILL))
}
