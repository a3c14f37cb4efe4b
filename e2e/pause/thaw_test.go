// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package pause

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/client"

	"github.com/ateom/ateom/e2e/harness"
)

// A sandbox that cannot be reached when it is to be thawed is said to stand still, by
// the verb and by its state. Pause and Resume bring it back.
func TestASandboxThatCannotBeThawed(t *testing.T) {
	t.Parallel()
	s, g := runGated(t, nil)
	n := s.Node
	g.shut(t)
	said := make(chan harness.Result, 1)
	go func() {
		said <- n.Do(t, harness.Command{Program: "ctr-ateom", Args: []string{"tasks", "commit", "--scope", "Full", s.ID}})
	}()
	open := g.await(t)
	sockets, err := filepath.Glob(filepath.Join(n.Config.RunDir, "runsc", "*", "runsc-"+s.ID+".sock"))
	if err != nil || len(sockets) != 1 {
		t.Fatalf("control sockets: %q, %v", sockets, err)
	}
	if err := os.Rename(sockets[0], sockets[0]+".away"); err != nil {
		t.Fatal(err)
	}
	open()
	if r := <-said; r.Code == 0 || !strings.Contains(r.Stderr, "its programs stand still") || !strings.Contains(r.Stderr, "pause and resume it") {
		t.Errorf("commit ends with %d: %s", r.Code, r.Stderr)
	}
	s.WantState(t, client.Paused)
	if err := os.Rename(sockets[0]+".away", sockets[0]); err != nil {
		t.Fatal(err)
	}
	ctx := n.Context(t)
	if err := s.Pause(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Resume(ctx); err != nil {
		t.Fatal(err)
	}
	s.WantState(t, client.Running)
	s.WantSame(t, s.Last())
	s.AwaitNumbers(t)
}
