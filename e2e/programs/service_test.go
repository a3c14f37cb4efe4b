// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package programs

import (
	"path"
	"testing"

	"github.com/containerd/containerd/v2/client"

	"github.com/ateom/ateom/artifacts/bucket/storetest"
	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/shim/config"
)

// nodes returns two nodes that share nothing but a store.
func nodes(t *testing.T, url string, how config.CheckpointIO) (a, b *harness.Node) {
	t.Helper()
	var c harness.Config
	c.CheckpointIO, c.DefaultStore, c.Stores = how, "s", map[string]config.Store{"s": {URL: url}}
	return harness.NewNode(t, c), harness.NewNode(t, c)
}

// commit commits with ctr-ateom and returns the snapshot's id.
func commit(t *testing.T, task *harness.Task, scope string) string {
	t.Helper()
	return harness.LastLine(task.Node.Ateom(t, "tasks", "commit", "--scope", scope, task.ID))
}

// home is a DurableDir.
const home = "/home/agent"

var homeAnnotation = map[string]string{"ateom.dev/durable-dirs": `[{"name":"home","mountPath":"` + home + `"}]`}

func TestAServiceMovesToAnotherNodeWithItsMemory(t *testing.T) {
	for _, how := range []config.CheckpointIO{config.Gofer, config.Files} {
		t.Run(string(how), func(t *testing.T) {
			url, _ := storetest.S3(t)
			a, b := nodes(t, url, how)
			spec := harness.ServiceContainer(harness.NewNetwork(t), 64, homeAnnotation, home)
			s := a.RunService(t, spec)

			fromRunning := commit(t, s.Task, "Full")
			s.WantState(t, client.Running)
			s.WantSame(t, s.Last())
			if err := s.Pause(a.Context(t)); err != nil {
				t.Fatal(err)
			}
			fromPaused := commit(t, s.Task, "Full")
			s.WantState(t, client.Paused)
			last := s.Last()
			s.Remove(t)

			for _, c := range []struct {
				id      string
				counter int64 // at least
			}{{fromRunning, 1}, {fromPaused, last.Counter}} {
				elsewhere := spec
				elsewhere.Network = harness.NewNetwork(t)
				woken := b.Wake(t, elsewhere, c.id, "s", false)
				now := woken.Ask(t)
				if now.Nonce != last.Nonce || now.File != last.File || now.Counter <= c.counter {
					t.Errorf("snapshot %s: the service says %+v, it had said %+v", c.id, now, last)
				}
				woken.AwaitNumbers(t)
				if got := b.Ctr(t, "task", "exec", "--exec-id", harness.NewID(t), woken.ID, "cat", home+"/nonce"); got != last.Nonce {
					t.Errorf("the file in the DurableDir holds %q, want %q", got, last.Nonce)
				}
				woken.Remove(t)
			}
		})
	}
}

func TestTheManifestIsWrittenLast(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, _ := nodes(t, "file://"+dir, config.Gofer)
	s := a.RunService(t, harness.ServiceContainer(harness.NewNetwork(t), 16, homeAnnotation, home))
	id := commit(t, s.Task, "Full")
	manifest := path.Join("snapshots", id, "manifest.json")
	if later := harness.ChangedAfter(t, dir, manifest); len(later) > 0 {
		t.Errorf("written after the manifest: %q", later)
	}
}
