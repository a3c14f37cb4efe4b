// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

// drawn is the table as docs/lifecycle.md is meant to show it, written once
// more by hand; the columns are those of states.
const drawn = `
State             at-once at-once at-once at-once at-once at-once at-once
Pids              at-once at-once at-once at-once at-once at-once at-once
Connect           at-once at-once at-once at-once at-once at-once at-once
Stats             at-once at-once at-once at-once at-once at-once at-once
Status            at-once at-once at-once at-once at-once at-once at-once
List              at-once at-once at-once at-once at-once at-once at-once
Wait              at-once at-once at-once at-once at-once at-once at-once
ResizePty         at-once at-once at-once at-once at-once at-once at-once
CloseIO           at-once at-once at-once at-once at-once at-once at-once
Shutdown          at-once at-once at-once at-once at-once at-once at-once
Create            acts    acts    waits   refused waits   waits   refused
Start             acts    acts    waits   refused waits   waits   refused
Exec              at-once at-once at-once at-once at-once at-once refused
Start-of-an-exec  refused acts    waits   refused-or-resumes waits waits refused
Update            acts    acts    waits   keeps   waits   waits   refused
Pause             refused acts    joins   already waits   waits   refused
Resume            refused refused thaws-or-waits acts joins waits refused
Commit            refused acts    waits   acts    waits   waits   refused
Checkpoint        refused acts    waits   acts    waits   waits   refused
Kill              acts    acts    keeps   keeps   keeps   keeps   not-found
Kill-with-SIGKILL wins    acts    wins    wins    wins    wins    not-found
Delete            wins    refused refused refused refused refused wins
`

func TestRulesAreAsDrawn(t *testing.T) {
	var got strings.Builder
	for _, r := range rules {
		words := []string{string(r.verb)}
		for _, a := range r.answers {
			words = append(words, string(a))
		}
		for i, w := range words {
			words[i] = strings.ReplaceAll(w, " ", "-")
		}
		fmt.Fprintln(&got, strings.Join(words, " "))
	}
	var want strings.Builder
	for line := range strings.Lines(strings.TrimSpace(drawn)) {
		fmt.Fprintln(&want, strings.Join(strings.Fields(line), " "))
	}
	if diff := cmp.Diff(want.String(), got.String()); diff != "" {
		t.Errorf("rules (-drawn +code):\n%s", diff)
	}
	// Every method that the shim serves is in it.
	for _, method := range strings.Fields("State Create Start Delete Pids Pause Resume Checkpoint Kill Exec ResizePty CloseIO Update Wait Stats Connect Shutdown Commit Status List") {
		if !slices.ContainsFunc(rules, func(r struct {
			verb    verb
			answers [7]answer
		}) bool {
			return string(r.verb) == method
		}) {
			t.Errorf("there is no rule for %s", method)
		}
	}
}

// patience bounds what is to be at once, on a machine that is busy with other tests.
const patience = 10 * time.Second

// TestEveryVerbInEveryState calls every verb in every state and looks whether
// that is what the table says.
func TestEveryVerbInEveryState(t *testing.T) {
	for _, r := range rules {
		for i, state := range states {
			t.Run(fmt.Sprintf("%s/%s", r.verb, state), func(t *testing.T) {
				t.Parallel()
				c := newCell(t, state)
				calls := len(c.f.heard())
				switch r.answers[i] {
				case atOnce:
					c.wantAtOnce(t, r.verb)
					c.wantState(t, state)
				case acts, already:
					c.wantAtOnce(t, r.verb)
					c.wantActed(t, r.verb, r.answers[i] == already, calls)
				case refused, resumes:
					if err := c.call(t, r.verb); !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), string(state)) {
						t.Errorf("%v, want a failed precondition that tells the state", err)
					}
					c.wantState(t, state)
					if now := c.f.heard(); len(now) != calls {
						t.Errorf("it was refused, and the runtime was called: %v", now[calls:])
					}
				case gone:
					if err := c.call(t, r.verb); !errdefs.IsNotFound(err) {
						t.Errorf("%v, want not found", err)
					}
				case waits, thaws:
					c.wantWait(t, r.verb, state)
				case joins:
					c.wantJoin(t, r.verb)
				case keeps:
					c.wantAtOnce(t, r.verb)
					c.wantState(t, state)
					c.wantKept(t, r.verb)
				case wins:
					c.wantWin(t, r.verb, state)
				}
				c.release()
				<-c.over
			})
		}
	}
}

func (c *cell) wantState(t *testing.T, want State) {
	t.Helper()
	if got := c.sb.machine.state(); got != want {
		t.Errorf("the sandbox is %s, want %s", got, want)
	}
}

// wantAtOnce calls the verb, which must do well whatever is under way.
func (c *cell) wantAtOnce(t *testing.T, v verb) {
	t.Helper()
	select {
	case err := <-c.begin(t, v):
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatalf("%s waits", v)
	}
}

// wantActed looks at what the verb has done.
func (c *cell) wantActed(t *testing.T, v verb, already bool, calls int) {
	t.Helper()
	heard := c.f.heard()[calls:]
	called := map[verb]string{verbCreate: "create", verbUpdate: "update", verbPause: "checkpoint", verbResume: "restore", verbStartExec: "exec",
		verbCommit: "gofer upload", verbCheckpoint: "gofer upload", verbStart: "start"}[v]
	if already {
		if len(heard) > 0 {
			t.Errorf("nothing was left to do, and the runtime was called: %v", heard)
		}
	} else if called != "" && !slices.Contains(heard, called) {
		t.Errorf("the runtime was called with %v, want %s among it", heard, called)
	}
	if want, ok := map[verb]State{verbPause: Paused, verbResume: Running}[v]; ok {
		c.wantState(t, want)
	}
}

// begin calls the verb and returns its answer to come.
func (c *cell) begin(t *testing.T, v verb) (answer <-chan error) {
	done := make(chan error, 1)
	go func() { done <- c.call(t, v) }()
	return done
}

// wait is begin for a verb that must not be answered yet.
func (c *cell) wait(t *testing.T, v verb) (answer <-chan error) {
	t.Helper()
	answer = c.begin(t, v)
	select {
	case err := <-answer:
		t.Fatalf("it did not wait: %v", err)
	default:
	}
	return answer
}

// wantWait calls the verb, which must wait for the one under way and then do
// what the state says that it leaves.
func (c *cell) wantWait(t *testing.T, v verb, state State) {
	t.Helper()
	if v != verbCommit && v != verbCheckpoint { // whose first half needs no turn
		given, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.callIn(t, given, v); !errors.Is(err, context.Canceled) {
			t.Errorf("a request that is given up: %v, want that it was waiting", err)
		}
		c.wantState(t, state)
	}
	done := c.wait(t, v)
	c.release()
	if err := <-c.outcome; err != nil {
		t.Errorf("the verb that was under way: %v", err)
	}
	settled := map[State]State{Pausing: Paused, Resuming: Running, Committing: Running}[state]
	err := <-done
	switch rule(v, settled) {
	case refused, resumes:
		if !errdefs.IsFailedPrecondition(err) {
			t.Errorf("in a sandbox that is %s by then: %v, want a failed precondition", settled, err)
		}
	default:
		if err != nil {
			t.Errorf("in a sandbox that is %s by then: %v", settled, err)
		}
	}
}

// wantJoin calls the verb, which must be one operation with the one under way.
func (c *cell) wantJoin(t *testing.T, v verb) {
	t.Helper()
	done := c.begin(t, v)
	waiting := map[verb]func() int{verbPause: c.sb.pauses.size, verbResume: c.sb.resumes.size}[v]
	for began := time.Now(); waiting() != 2; time.Sleep(time.Millisecond) { // nothing tells when it has joined
		select {
		case err := <-done:
			t.Fatalf("it did not join: %v", err)
		default:
		}
		if time.Since(began) > patience {
			t.Fatalf("%d requests wait for the operation, want 2", waiting())
		}
	}
	c.release()
	for _, outcome := range []<-chan error{c.outcome, done} {
		if err := <-outcome; err != nil {
			t.Error(err)
		}
	}
	call := map[verb]string{verbPause: "checkpoint", verbResume: "restore"}[v]
	want := map[verb]int{verbPause: 1, verbResume: 2}[v] // both containers are restored
	n := 0
	for _, h := range c.f.heard() {
		if h == call {
			n++
		}
	}
	if n != want {
		t.Errorf("%s was called %d times, want %d", call, n, want)
	}
}

// size is how many requests wait for the operation under way.
func (f *flights[T]) size() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.current == nil {
		return 0
	}
	return f.current.waiting
}

// wantKept looks whether what was kept is done when the sandbox runs again.
func (c *cell) wantKept(t *testing.T, v verb) {
	t.Helper()
	root, err := c.sb.container("box")
	if err != nil {
		t.Fatal(err)
	}
	if v == verbUpdate {
		if root.spec.Linux.Resources.Memory == nil || *root.spec.Linux.Resources.Memory.Limit != 4096 {
			t.Errorf("the limits for the resume are %+v", root.spec.Linux.Resources)
		}
		return
	}
	c.release()
	if c.sb.machine.state() != Paused {
		<-c.outcome
	}
	if c.sb.machine.state() == Paused {
		if err := c.call(t, verbResume); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case got := <-c.f.running().signals:
		if got != sigterm {
			t.Errorf("signal %d was delivered, want %d", got, sigterm)
		}
	case <-time.After(patience):
		t.Error("the signal was kept for ever")
	}
}

// wantWin calls the verb, which must end what is under way and the process.
func (c *cell) wantWin(t *testing.T, v verb, state State) {
	t.Helper()
	root, err := c.sb.container("box")
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	c.wantAtOnce(t, v)
	if took := time.Since(began); took > killLimit+time.Second {
		t.Errorf("it took %v", took)
	}
	if v == verbDelete {
		if _, err := c.sb.container("box"); !errdefs.IsNotFound(err) {
			t.Errorf("the container is still there: %v", err)
		}
		return
	}
	if !root.init.hasExited() {
		t.Error("the process lives")
	}
	c.wantState(t, Stopped)
	if state == Pausing || state == Resuming {
		if err := <-c.outcome; err == nil {
			t.Error("the verb under way did well")
		}
	}
}

func (f *fakeRuntime) heard() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}
