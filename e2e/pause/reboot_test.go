// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package pause

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/e2e/images"
)

// TestARebootLosesNoPausedSandbox wipes all volatile state of a node with a
// paused sandbox and a running one. The paused one goes on, with its memory and
// its DurableDir; of the running one the DurableDir is kept.
func TestARebootLosesNoPausedSandbox(t *testing.T) {
	t.Parallel()
	n := harness.NewNode(t, harness.Config{})
	network := harness.NewNetwork(t)
	spec := harness.ServiceContainer(network, 16, map[string]string{
		"ateom.dev/durable-dirs": `[{"name":"home","mountPath":"/home/agent"}]`,
	}, "/home/agent")
	s := n.RunService(t, spec)
	if err := s.Pause(n.Context(t)); err != nil {
		t.Fatal(err)
	}
	running := n.Run(t, harness.Container{
		Args:        []string{"sh", "-c", "echo precious >/work/file; echo ready; sleep 1000"},
		Annotations: map[string]string{"ateom.dev/durable-dirs": `[{"name":"work","mountPath":"/work"}]`},
	})
	running.AwaitLog(t, "ready")
	paused, err := filepath.Glob(filepath.Join(n.Config.StateDir, "snapshots", "*"))
	if err != nil || len(paused) != 1 {
		t.Fatalf("snapshots of the paused sandbox: %q, %v", paused, err)
	}

	n.Reboot(t)

	// Whoever comes first on the node sweeps it.
	n.Want(t, images.Busybox)
	first := n.Run(t, harness.Container{Args: []string{"sh", "-c", "echo ready; sleep 1000"}})
	first.AwaitLog(t, "ready")
	if left, err := filepath.Glob(filepath.Join(n.Config.StateDir, "volumes", "*", "*")); err != nil || len(left) != 0 {
		t.Errorf("volumes of lost sandboxes: %q, %v", left, err)
	}
	kept, err := filepath.Glob(filepath.Join(n.Config.StateDir, "lost", "*"+running.ID+"*", "work", "file"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("the volume of the sandbox that ran: %q, %v", kept, err)
	}
	if text, err := os.ReadFile(kept[0]); err != nil || string(text) != "precious\n" {
		t.Errorf("the volume of the sandbox that ran holds %q, %v", text, err)
	}
	woken := n.Wake(t, spec, filepath.Base(paused[0]), "local", false)
	woken.WantSame(t, s.Last())
}
