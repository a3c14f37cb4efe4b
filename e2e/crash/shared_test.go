// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"os"
	"path/filepath"
	"testing"

	runtimeoptions "github.com/containerd/containerd/api/types/runtimeoptions/v1"

	"github.com/ateom/ateom/e2e/harness"
)

// keeper is a container that has written something to its DurableDir.
var keeper = harness.Container{
	Args:        []string{"sh", "-c", "echo precious >/home/agent/note; exec sleep 1000"},
	Annotations: map[string]string{"ateom.dev/durable-dirs": `[{"name":"home","mountPath":"/home/agent"}]`},
}

// note is the file that it has written, as the node sees it.
func note(task *harness.Task) string {
	return filepath.Join(task.Node.Config.StateDir, "volumes", task.Node.Namespace, task.ID, "home", "note")
}

// keep runs a keeper, whose file is there when it returns.
func keep(t *testing.T, n *harness.Node) *harness.Task {
	t.Helper()
	task := n.Run(t, keeper)
	harness.Eventually(t, func() error { return wantNote(task) })
	return task
}

func wantNote(task *harness.Task) error {
	_, err := os.Stat(note(task))
	return err
}

// Two configurations of one node share a state directory and have run directories of their
// own. What the sweep of the one does not know to be alive, the other's shims hold: no volume
// moves under a sandbox that runs, or sleeps.
func TestASweepLeavesTheVolumesOfAnotherConfiguration(t *testing.T) {
	t.Run("another containerd's", func(t *testing.T) {
		t.Parallel()
		n := harness.NewNode(t, harness.Config{})
		c := harness.Config{}
		c.StateDir = n.Config.StateDir
		other := harness.NewNode(t, c)
		sharesState(t, n, func(t *testing.T) {
			other.Run(t, keeper).Remove(t)
			other.Ateom(t, "snapshots", "gc", "--store", "local")
		})
	})
	t.Run("another file", func(t *testing.T) {
		t.Parallel()
		n := harness.NewNode(t, harness.Config{})
		c := n.Config
		c.RunDir = filepath.Join(n.Dir, "run2")
		path := filepath.Join(n.Dir, "other.toml")
		must(t, c.Write(path))
		sharesState(t, n, func(t *testing.T) {
			spec := keeper
			spec.Options = &runtimeoptions.Options{ConfigPath: path}
			n.Run(t, spec).Remove(t)
		})
	})
}

// sharesState has a sandbox that runs on n and one that sleeps there, while sweep makes another
// configuration sweep the state directory, and wants both to go on with what they had.
func sharesState(t *testing.T, n *harness.Node, sweep func(*testing.T)) {
	running, paused := keep(t, n), keep(t, n)
	n.Ateom(t, "tasks", "pause", paused.ID)
	sweep(t)
	for name, task := range map[string]*harness.Task{"running": running, "paused": paused} {
		if err := wantNote(task); err != nil {
			t.Errorf("the %s sandbox's volume: %v", name, err)
		}
	}
	if lost, err := filepath.Glob(filepath.Join(n.Config.StateDir, "lost", "*")); err != nil || len(lost) > 0 {
		t.Errorf("set aside are %q, %v", lost, err)
	}
	n.Ateom(t, "tasks", "resume", paused.ID)
	for _, task := range []*harness.Task{running, paused} {
		if got := n.Ctr(t, "tasks", "exec", "--exec-id", "look", task.ID, "cat", "/home/agent/note"); got != "precious\n" {
			t.Errorf("the volume of %s holds %q", task.ID, got)
		}
		// What a sandbox has is its own to the end.
		task.Remove(t)
		if err := wantNote(task); !os.IsNotExist(err) {
			t.Errorf("the volume of %s after its Delete: %v", task.ID, err)
		}
	}
	// A shim that dies gives up what it held, and its delete action sets it aside.
	dies := keep(t, n)
	dies.KillShim(t)
	harness.Eventually(t, func() error { return nothingOf(t, dies) })
	if found, err := filepath.Glob(filepath.Join(n.Config.StateDir, "lost", "*", "home", "note")); err != nil || len(found) != 1 {
		t.Errorf("set aside are %q, %v, want the volume of the shim that died", found, err)
	}
}
