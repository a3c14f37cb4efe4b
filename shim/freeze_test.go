// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"strings"
	"testing"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	tasktypes "github.com/containerd/containerd/api/types/task"

	ateomv1 "github.com/ateom/ateom/proto/ateom/v1"
)

// A sandbox that could not be thawed is not said to run: the verb says so, and so does
// its state. Pause and Resume, which the error asks for, bring it back with its memory.
func TestAThawThatFails(t *testing.T) {
	for name, tt := range map[string]struct {
		verb  verb
		fails string // a call
		says  string
	}{
		"a Commit":            {verbCommit, "", "is in the store"},
		"a Commit that fails": {verbCommit, "gofer capture", "nothing was published"},
		"a Pause that fails":  {verbPause, "checkpoint", "cannot be saved"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCell(t, Running)
			c.f.failing(func(call string) bool { return call == tt.fails })
			stick := func(stuck bool) {
				k := c.f.running()
				k.mu.Lock()
				defer k.mu.Unlock()
				k.stuck = stuck
			}
			stick(true)
			err := c.call(t, tt.verb)
			for _, want := range []string{tt.says, "its programs stand still", "cannot thaw", "pause and resume it"} {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s = %v, want %q in it", tt.verb, err, want)
				}
			}
			if err != nil && strings.Contains(err.Error(), "it runs on") {
				t.Errorf("%s = %v, and it does not run", tt.verb, err)
			}
			if _, runs := c.f.add(0); runs {
				t.Fatal("the sandbox runs")
			}
			c.wantWords(t, tasktypes.Status_PAUSED, stuckWord)

			c.f.failing(func(string) bool { return false })
			for _, v := range []verb{verbPause, verbResume} {
				if err := c.call(t, v); err != nil {
					t.Fatal(err)
				}
			}
			if m, runs := c.f.add(0); !runs || m.number != 1 {
				t.Errorf("memory %v, runs %v", m, runs)
			}
			c.wantWords(t, tasktypes.Status_RUNNING, string(Running))
		})
	}
}

// wantWords looks at what containerd and Status call the sandbox.
func (c *cell) wantWords(t *testing.T, task tasktypes.Status, word string) {
	t.Helper()
	if r, err := c.State(t.Context(), &taskapi.StateRequest{ID: "box"}); err != nil || r.GetStatus() != task {
		t.Errorf("State = %v, %v, want %v", r.GetStatus(), err, task)
	}
	if r, err := (snapshots{c.Service}).Status(t.Context(), &ateomv1.StatusRequest{Id: "box"}); err != nil || r.GetState() != word {
		t.Errorf("Status = %q, %v, want %q", r.GetState(), err, word)
	}
}

// A Resume that cuts a save short, and cannot thaw the sandbox, has not resumed it.
func TestAResumeThatCannotThaw(t *testing.T) {
	b, f, _ := newFrozen(t)
	k := f.running()
	k.mu.Lock()
	k.stuck = true
	k.mu.Unlock()
	_, err := b.Service.Resume(t.Context(), &taskapi.ResumeRequest{ID: "box"})
	if err == nil || !strings.Contains(err.Error(), "its programs stand still") {
		t.Errorf("Resume = %v, want that nothing runs", err)
	}
}
