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
	// shim is the process that serves: the delete action has the same binary.
	shim = target{name: "shim", matches: func(args string) bool {
		return strings.Contains(args, "containerd-shim-ateom-v1") && !strings.HasSuffix(args, " delete") && !strings.HasSuffix(args, " start")
	}}
	sideCar = target{name: "side-car", brief: true, matches: func(args string) bool { return strings.Contains(args, "checkpointgofer") }}
	job     = target{name: "gofer", brief: true, matches: func(args string) bool { return strings.Contains(args, "ateom-gofer job") }}
	sentry  = target{name: "sandbox", matches: func(args string) bool { return strings.HasPrefix(args, "runsc-sandbox") }}
	// files serves the sandbox its root file system.
	files      = target{name: "runsc-gofer", matches: func(args string) bool { return strings.HasPrefix(args, "runsc-gofer") }}
	runsc      = target{name: "runsc", brief: true, matches: func(args string) bool { return strings.Contains(args, "/runsc --") }}
	containerd = target{name: "containerd"}
)

// A verb is what is under way when the blow falls.
type verb struct {
	name string
	// before and after are the states of a task that it begins in, and ends in if all
	// goes well; Stopped stands for no task.
	before, after client.ProcessStatus
	do            func(*victim, *testing.T) (ok bool)
	// from is which snapshot it starts a task from, if it does.
	from kind
	// needs are what takes part in it.
	needs []target
}

var verbs = []verb{
	{name: "pause", before: client.Running, after: client.Paused, do: (*victim).pause, needs: []target{shim, sideCar, sentry, files, runsc, containerd}},
	{name: "resume", before: client.Paused, after: client.Running, do: (*victim).resume, needs: []target{shim, sideCar, sentry, files, runsc, containerd}},
	{name: "commit", before: client.Running, after: client.Running, do: (*victim).commit, needs: []target{shim, sideCar, job, sentry, files, containerd}},
	{name: "commit while paused", before: client.Paused, after: client.Paused, do: (*victim).commit, needs: []target{shim, job, containerd}},
	{name: "commit of volumes", before: client.Running, after: client.Running, do: (*victim).commitVolumes, needs: []target{shim, job, sentry, files, containerd}},
	{name: "commit of volumes while paused", before: client.Paused, after: client.Paused, do: (*victim).commitVolumes, needs: []target{shim, job, containerd}},
	{name: "exec", before: client.Running, after: client.Running, do: (*victim).exec, needs: []target{shim, sentry, files, runsc, containerd}},
	{name: "kill", before: client.Running, after: client.Stopped, do: (*victim).kill, needs: []target{shim, sentry, files, containerd}},
	{name: "kill while paused", before: client.Paused, after: client.Stopped, do: (*victim).kill, needs: []target{shim, containerd}},
	{name: "delete", before: client.Running, after: client.Stopped, do: (*victim).delete, needs: []target{shim, sentry, files, runsc, containerd}},
	{name: "delete while paused", before: client.Paused, after: client.Stopped, do: (*victim).delete, needs: []target{shim, runsc, containerd}},
	{name: "start anew", before: client.Stopped, after: client.Running, do: (*victim).startAnew, from: nothing, needs: []target{shim, sentry, files, runsc, containerd}},
	{name: "start from the node", before: client.Stopped, after: client.Running, do: (*victim).start, from: onDisk, needs: []target{shim, sideCar, sentry, files, runsc, containerd}},
	{name: "start from a store", before: client.Stopped, after: client.Running, do: (*victim).start, from: inStore, needs: []target{shim, sideCar, job, sentry, files, runsc, containerd}},
	{name: "start over volumes", before: client.Stopped, after: client.Running, do: (*victim).start, from: ofVolumes, needs: []target{shim, job, sentry, files, runsc, containerd}},
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

// allowed are the states that the task may be in, by what was answered, whether the target was
// hit, and whether the sandbox has come back from a snapshot.
func (d deal) allowed(ok, killed, restored bool) []client.ProcessStatus {
	state := d.verb.before
	if ok {
		state = d.verb.after
	}
	switch {
	case !killed:
	case d.target.name == shim.name:
		return []client.ProcessStatus{client.Stopped} // containerd removes what it leaves
	case d.verb.from != "" && !ok:
		// What was made is removed, unless who asked for it has lost containerd.
		return []client.ProcessStatus{client.Stopped, client.Created, client.Running}
	case d.target.name == containerd.name && !ok:
		// Who has lost the connection does not know what became of the request.
		return []client.ProcessStatus{d.verb.before, d.verb.after}
	case d.target.name == sentry.name && state == client.Running:
		return []client.ProcessStatus{client.Stopped}
	case d.target.name == files.name && state == client.Running:
		// gVisor ends a sandbox that has lost it, some time later on a busy machine, but not
		// one that was restored.
		if restored {
			return []client.ProcessStatus{client.Running}
		}
		return []client.ProcessStatus{client.Stopped}
	case d.maims(ok):
		return []client.ProcessStatus{client.Running, client.Stopped}
	case d.verb.after == client.Stopped && !ok:
		return []client.ProcessStatus{d.verb.before, client.Stopped} // killed, and not deleted yet
	}
	return []client.ProcessStatus{state}
}

// maims says whether the blow, if it hit, leaves a sandbox that gVisor may end at any moment: it was
// ready, and not all of its memory had come.
func (d deal) maims(ok bool) bool {
	return d.target.name == sideCar.name && ok && d.verb.after == client.Running && d.verb.before != client.Running
}

// A tally counts how rounds went.
type tally struct {
	mu       sync.Mutex
	outcomes map[string]int
	hits     map[string]int // by deal
}

func newTally() *tally { return &tally{outcomes: map[string]int{}, hits: map[string]int{}} }

func (d deal) String() string { return d.verb.name + ", " + d.target.name }

func (c *tally) count(d deal, killed, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	hit, went := "missed", "fails"
	if killed {
		hit = "hit"
		c.hits[d.String()]++
	}
	if ok {
		went = "succeeds"
	}
	c.outcomes[fmt.Sprintf("%s %s: %s", d, hit, went)]++
}

// report logs how the rounds went, and fails the test if some kind of process was never
// hit while some verb was under way.
func (c *tally) report(t *testing.T) {
	t.Helper()
	for _, what := range slices.Sorted(maps.Keys(c.outcomes)) {
		t.Logf("%3d × %s", c.outcomes[what], what)
	}
	for _, d := range allDeals() {
		if c.hits[d.String()] == 0 {
			t.Errorf("%s was never hit", d)
		}
	}
}
