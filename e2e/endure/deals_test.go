// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package endure

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
)

// A target is a kind of process that is killed: those of the node whose command
// line matches.
type target struct {
	name    string
	matches func(args string) bool // nil for containerd, which is started again
	// brief says that it lives no longer than a verb.
	brief bool
}

var (
	shim  = target{name: "shim", matches: func(args string) bool { return strings.Contains(args, "containerd-shim-ateom-v1") }}
	gofer = target{name: "gofer", brief: true, matches: func(args string) bool {
		return strings.Contains(args, "checkpointgofer") || strings.Contains(args, "ateom-gofer job")
	}}
	sentry = target{name: "sandbox", matches: func(args string) bool { return strings.HasPrefix(args, "runsc-sandbox") }}
	// files serves the sandbox its root file system.
	files      = target{name: "runsc-gofer", matches: func(args string) bool { return strings.HasPrefix(args, "runsc-gofer") }}
	runsc      = target{name: "runsc", brief: true, matches: func(args string) bool { return strings.Contains(args, "/runsc --") }}
	containerd = target{name: "containerd"}

	targets = []target{shim, gofer, sentry, files, runsc, containerd}
)

// A verb is what is under way when the blow falls.
type verb struct {
	name string
	// before and after are the states of a task that it begins in, and ends in if all
	// goes well; Stopped stands for no task.
	before, after client.ProcessStatus
	// span is about how long it takes on an idle machine: the moment of the blow
	// is drawn from a little more.
	span time.Duration
	do   func(*victim, *testing.T) (ok bool)
	// needs are what takes part in it.
	needs []target
}

var verbs = []verb{
	{"pause", client.Running, client.Paused, 300 * time.Millisecond, (*victim).pause, targets},
	{"resume", client.Paused, client.Running, 250 * time.Millisecond, (*victim).resume, targets},
	{"commit", client.Running, client.Running, 250 * time.Millisecond, (*victim).commit, []target{shim, gofer, sentry, files, containerd}},
	{"commit while paused", client.Paused, client.Paused, 200 * time.Millisecond, (*victim).commit, []target{shim, gofer, containerd}},
	{"delete", client.Running, client.Stopped, 100 * time.Millisecond, (*victim).delete, []target{shim, sentry, files, runsc, containerd}},
	{"delete while paused", client.Paused, client.Stopped, 100 * time.Millisecond, (*victim).delete, []target{shim, runsc, containerd}},
}

// A deal is what a round is about.
type deal struct {
	verb   verb
	target target
}

// allDeals are every verb with everything that takes part in it.
func allDeals() (all []deal) {
	for _, v := range verbs {
		for _, t := range v.needs {
			all = append(all, deal{v, t})
		}
	}
	return all
}

// deals returns the deals of n rounds: each as often as any other, in an order
// that is drawn by lot.
func deals(random *rand.Rand, n int) (list []deal) {
	for len(list) < n {
		all := allDeals()
		random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		list = append(list, all...)
	}
	return list[:n]
}

// allowed are the states that the task may be in, by what was answered and
// whether the target was hit.
func (d deal) allowed(ok, killed bool) []client.ProcessStatus {
	state := d.verb.before
	if ok {
		state = d.verb.after
	}
	switch {
	case !killed:
	case d.target.name == shim.name:
		return []client.ProcessStatus{client.Stopped} // containerd removes what it leaves
	case d.target.name == containerd.name && !ok:
		// Who has lost the connection does not know what became of the request.
		return []client.ProcessStatus{d.verb.before, d.verb.after}
	case d.target.name == sentry.name && state == client.Running:
		return []client.ProcessStatus{client.Stopped}
	case d.target.name == files.name && state == client.Running:
		// gVisor ends a sandbox that has lost it, but not one that was restored.
		return []client.ProcessStatus{client.Running, client.Stopped}
	case d.target.name == gofer.name && ok && state == client.Running && d.verb.before == client.Paused:
		// It was ready, and not all of its memory had come.
		return []client.ProcessStatus{client.Running, client.Stopped}
	case d.verb.after == client.Stopped && !ok:
		return []client.ProcessStatus{d.verb.before, client.Stopped} // killed, and not deleted yet
	}
	return []client.ProcessStatus{state}
}

// A tally counts how rounds went.
type tally struct {
	mu       sync.Mutex
	outcomes map[string]int
	hits     map[string]int // by target
}

func newTally() *tally { return &tally{outcomes: map[string]int{}, hits: map[string]int{}} }

func (c *tally) count(d deal, killed, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	hit, went := "missed", "fails"
	if killed {
		hit = "hit"
		c.hits[d.target.name]++
	}
	if ok {
		went = "succeeds"
	}
	c.outcomes[fmt.Sprintf("%s, %s %s: %s", d.verb.name, d.target.name, hit, went)]++
}

// report logs how the rounds went, and fails the test if some kind of process
// was never hit.
func (c *tally) report(t *testing.T) {
	t.Helper()
	for _, what := range slices.Sorted(maps.Keys(c.outcomes)) {
		t.Logf("%3d × %s", c.outcomes[what], what)
	}
	for _, what := range targets {
		if c.hits[what.name] == 0 {
			t.Errorf("no %s was killed", what.name)
		}
	}
}
