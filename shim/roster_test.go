// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"testing"

	"github.com/ateom/ateom/shim/roster"
)

// The roster shows the states in which a sandbox can be found at rest, and
// forgets it when its directory goes.
func TestTheRosterFollowsTheSandbox(t *testing.T) {
	b := newBench(t)
	want := func(state State) {
		t.Helper()
		list, err := roster.List(b.sb.cfg.RunDir)
		if err != nil || len(list) != 1 || list[0].State != string(state) || !list[0].Alive || list[0].Sandbox != "box" || list[0].Namespace != "ns" {
			t.Fatalf("roster = %+v, %v, want box %s", list, err, state)
		}
	}
	want(Created)
	for _, step := range []struct{ next, from, shown State }{
		{Running, Created, Running},
		{Pausing, Running, Running}, // under way
		{Paused, Pausing, Paused},
		{Committing, Paused, Paused},
		{Paused, Committing, Paused},
		{Resuming, Paused, Paused},
		{Running, Resuming, Running},
	} {
		if err := b.sb.machine.move(step.next, step.from); err != nil {
			t.Fatal(err)
		}
		want(step.shown)
	}
	b.sb.machine.stop()
	want(Stopped)
	if err := b.sb.cleanUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if list, err := roster.List(b.sb.cfg.RunDir); err != nil || len(list) != 0 {
		t.Errorf("roster = %+v, %v after the sandbox was removed", list, err)
	}
}
