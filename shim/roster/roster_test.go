// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package roster

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ateom/ateom/shim/rundir"
)

// take is Take of a sandbox on a test's node.
func take(t *testing.T, runDir, id, state string) *Place {
	t.Helper()
	p, err := Take(rundir.Sandbox(runDir, "ns", id))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Leave() })
	if err := p.Put(Entry{Namespace: "ns", Sandbox: id, State: state, Since: time.Unix(7, 0).UTC(), PID: 3}); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestListTellsTheLivingFromTheDead(t *testing.T) {
	run := t.TempDir()
	if list, err := List(run); err != nil || len(list) != 0 {
		t.Fatalf("List of an empty node = %v, %v", list, err)
	}
	take(t, run, "a", "paused")
	if err := take(t, run, "b", "running").Leave(); err != nil { // as the kernel does when a shim dies
		t.Fatal(err)
	}
	if err := os.Mkdir(rundir.Sandbox(run, "ns", "c"), 0o700); err != nil { // about to be created
		t.Fatal(err)
	}
	entry := func(id, state string, alive bool) Entry {
		return Entry{Version: version, Namespace: "ns", Sandbox: id, State: state, Since: time.Unix(7, 0).UTC(), PID: 3, Alive: alive}
	}
	for range 2 { // looking changes nothing
		list, err := List(run)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]Entry{entry("a", "paused", true), entry("b", "running", false)}, list); diff != "" {
			t.Errorf("entries (-want +got):\n%s", diff)
		}
	}
}

func TestPutReplacesTheEntry(t *testing.T) {
	run := t.TempDir()
	p := take(t, run, "a", "running")
	if err := p.Put(Entry{Namespace: "ns", Sandbox: "a", State: "paused", Snapshot: "s1"}); err != nil {
		t.Fatal(err)
	}
	list, err := List(run)
	if err != nil || len(list) != 1 || list[0].State != "paused" || list[0].Snapshot != "s1" {
		t.Errorf("List = %+v, %v", list, err)
	}
}

// An entry that cannot be understood hides no other.
func TestListGoesOnBesideADamagedEntry(t *testing.T) {
	run := t.TempDir()
	take(t, run, "good", "running")
	for id, text := range map[string]string{"half": `{"vers`, "newer": `{"version":99}`, "none": `{}`} {
		take(t, run, id, "running")
		if err := os.WriteFile(filepath.Join(rundir.Sandbox(run, "ns", id), fileName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	list, err := List(run)
	if len(list) != 1 || list[0].Sandbox != "good" {
		t.Errorf("List = %+v, want the good one", list)
	}
	for _, id := range []string{"half", "newer", "none"} {
		if err == nil || !strings.Contains(err.Error(), rundir.Sandbox(run, "ns", id)) {
			t.Errorf("error %v does not name %s", err, id)
		}
	}
}
