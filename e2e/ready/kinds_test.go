// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package ready

import (
	"strings"
	"testing"

	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/shim/config"
)

// nodeWith is a node whose runsc has another kind of network.
func nodeWith(t *testing.T, kind string) *harness.Node {
	return harness.NewNode(t, harness.Config{Config: config.Config{RunscFlags: map[string]string{"network": kind}}})
}

// With the host's network, runsc dials the loopback of the sandbox's namespace.
func TestEveryKindOfProbeWithTheHostsNetwork(t *testing.T) {
	t.Parallel()
	everyKind(t, nodeWith(t, "host"))
}

// Into a sandbox without a network nothing can be dialled from outside, though its
// programs reach each other over the loopback: a command asks for it.
func TestASandboxWithoutANetworkIsAskedByACommand(t *testing.T) {
	t.Parallel()
	n := nodeWith(t, "none")
	check := probes[len(probes)-1]
	task := n.Run(t, guest(t, harness.NewNetwork(t), map[string]string{"ateom.dev/readiness": annotation(check.action)}))
	task.AwaitLog(t, "serving")
	ctx := n.Context(t)
	for range 2 {
		if err := task.Pause(ctx); err != nil {
			t.Fatal(err)
		}
		if err := task.Resume(ctx); err != nil {
			t.Fatal(err)
		}
	}
	tell := harness.Command{Program: "ctr", Args: []string{"task", "exec", "--exec-id", harness.NewID(t), task.ID, "wget", "-q", "-O", "-", "--post-data=", "http://127.0.0.1:8080/busy"}}
	if r := n.Do(t, tell); r.Code != 0 {
		t.Fatalf("exit code %d: %s", r.Code, r.Stderr)
	}
	if err := task.Pause(ctx); err != nil {
		t.Fatal(err)
	}
	if err := task.Resume(ctx); err == nil || !strings.Contains(err.Error(), check.busy) {
		t.Errorf("Resume of a busy guest = %v, want %q", err, check.busy)
	}
}
