// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ateom/ateom/shim/roster"
	"github.com/ateom/ateom/shim/rundir"
)

func TestSandboxesAreCountedByState(t *testing.T) {
	run := t.TempDir()
	for i, state := range []string{"running", "paused", "paused", "running", "created"} {
		p, err := roster.Take(rundir.Sandbox(run, "ns", fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Put(roster.Entry{State: state}); err != nil {
			t.Fatal(err)
		}
		if i == 3 { // its shim dies
			if err := p.Leave(); err != nil {
				t.Fatal(err)
			}
			continue
		}
		t.Cleanup(func() { _ = p.Leave() })
	}
	want := `
# HELP ateom_sandboxes Sandboxes on this node by state; dead are those whose shim has ended without cleaning up.
# TYPE ateom_sandboxes gauge
ateom_sandboxes{state="created"} 1
ateom_sandboxes{state="dead"} 1
ateom_sandboxes{state="paused"} 2
ateom_sandboxes{state="running"} 1
ateom_sandboxes{state="stopped"} 0
# HELP ateom_roster_unreadable 1 if some sandbox's entry could not be read, so that ateom_sandboxes counts too few; else 0.
# TYPE ateom_roster_unreadable gauge
ateom_roster_unreadable 0
`
	s := NewSandboxes(run)
	if err := testutil.CollectAndCompare(s, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(rundir.Sandbox(run, "ns", "0"), "state.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	want = strings.NewReplacer(`"running"} 1`, `"running"} 0`, "unreadable 0", "unreadable 1").Replace(want)
	if err := testutil.CollectAndCompare(s, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}
