// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package endure

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/e2e/bench/lab"
	"github.com/ateom/ateom/e2e/harness"
)

// A victim is a service that is paused, committed, resumed and deleted while
// somebody kills what that needs.
type victim struct {
	*harness.Service
	node   *harness.Node
	spec   harness.Container
	random *rand.Rand
	// safe are the snapshots of the service that were answered for, by store;
	// what a pause saved counts until the resume after it.
	safe map[string]acknowledged
	// outcomes counts how verbs went, by verb and what was killed.
	outcomes map[string]int
}

// An acknowledged snapshot holds at least the service that said state before.
type acknowledged struct {
	id    string
	state lab.State
}

// Stores of snapshots.
const (
	onDisk   = "local"
	inBucket = "dir"
)

func newVictim(t *testing.T, random *rand.Rand) *victim {
	t.Helper()
	n := harness.NewNode(t, harness.Config{})
	v := &victim{node: n, random: random, safe: map[string]acknowledged{}, outcomes: map[string]int{}}
	v.spec = harness.ServiceContainer(harness.NewNetwork(t), 8, map[string]string{
		"ateom.dev/durable-dirs": `[{"name":"home","mountPath":"/home/agent"}]`,
	}, "/home/agent")
	v.Service = n.RunService(t, v.spec)
	v.commit(t)
	if _, ok := v.safe[inBucket]; !ok {
		t.Fatal("the first commit has failed")
	}
	return v
}

// A verb is what is under way when the blow falls.
type verb struct {
	name string
	// span is about how long it takes on an idle machine: the moment of the blow
	// is drawn from a little more.
	span time.Duration
	do   func(*victim, *testing.T)
}

var verbs = []verb{
	{"pause", 300 * time.Millisecond, (*victim).pause},
	{"commit", 250 * time.Millisecond, (*victim).commit},
	{"resume", 250 * time.Millisecond, (*victim).resume},
	{"delete", 100 * time.Millisecond, (*victim).delete},
}

// targets are what is killed: the processes of the node whose command line is so.
var targets = map[string]func(args string) bool{
	"shim": func(args string) bool { return strings.Contains(args, "containerd-shim-ateom-v1") },
	"gofer": func(args string) bool {
		return strings.Contains(args, "checkpointgofer") || strings.Contains(args, "ateom-gofer job")
	},
	"sandbox": func(args string) bool { return strings.HasPrefix(args, "runsc-sandbox") },
	"runsc":   func(args string) bool { return strings.Contains(args, "/runsc --") },
}

// containerd is a target too; it is started again.
const containerd = "containerd"

// round lets a verb begin, kills something, and sees what has become of the
// service.
func (v *victim) round(t *testing.T) {
	t.Helper()
	verb := verbs[v.random.IntN(len(verbs))]
	names := append(slices.Sorted(maps.Keys(targets)), containerd)
	name := names[v.random.IntN(len(names))]
	delay := time.Duration(v.random.Int64N(int64(verb.span * 3 / 2)))
	t.Logf("%s, %s is killed after %s", verb.name, name, delay)

	asleep := v.State(t) == client.Paused
	switch {
	case verb.name == "resume" && !asleep:
		v.pause(t)
	case verb.name == "pause" && asleep:
		v.resume(t)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		verb.do(v, t)
	}()
	select {
	case <-time.After(delay):
	case <-ended:
	}
	killed := v.kill(t, name)
	select {
	case <-ended:
	case <-time.After(2 * harness.Limit):
		t.Fatalf("%s does not end, %s was killed", verb.name, name)
	}
	v.outcomes[fmt.Sprintf("%s of %s: %t", verb.name, name, killed > 0)]++
	v.lookAfter(t)
}

// kill kills all processes of a kind and returns how many.
func (v *victim) kill(t *testing.T, name string) int {
	t.Helper()
	if name == containerd {
		if err := errors.Join(v.node.Stop(syscall.SIGKILL), v.node.Boot()); err != nil {
			t.Error(err)
		}
		return 1
	}
	var killed int
	for _, pid := range harness.Find(t, targets[name]) {
		if v.node.Owns(pid) && syscall.Kill(pid, syscall.SIGKILL) == nil {
			killed++
		}
	}
	return killed
}

// An answer is what ctr-ateom says of a verb.
type answer struct {
	Snapshot struct{ ID string }
}

// ask runs a verb; false if it failed, however.
func (v *victim) ask(t *testing.T, args ...string) (answer, bool) {
	var a answer
	r := v.node.Do(t, harness.Command{Program: "ctr-ateom", Args: append(append([]string{"tasks"}, args...), "--json", v.ID)})
	if r.Code != 0 {
		return a, false
	}
	if err := json.Unmarshal([]byte(r.Stdout), &a); err != nil {
		t.Errorf("ctr-ateom %q: %v in %q", args, err, r.Stdout)
		return a, false
	}
	return a, true
}

func (v *victim) pause(t *testing.T) {
	said := v.Last()
	if a, ok := v.ask(t, "pause"); ok {
		v.safe[onDisk] = acknowledged{a.Snapshot.ID, said}
	}
}

func (v *victim) commit(t *testing.T) {
	said := v.Last()
	if a, ok := v.ask(t, "commit", "--scope", "Full"); ok {
		v.safe[inBucket] = acknowledged{a.Snapshot.ID, said}
	}
}

func (v *victim) resume(t *testing.T) {
	if _, ok := v.ask(t, "resume"); ok {
		delete(v.safe, onDisk) // the next pause replaces it
	}
}

// delete ends the task; what was paused goes with it.
func (v *victim) delete(t *testing.T) {
	delete(v.safe, onDisk)
	v.node.Do(t, harness.Command{Program: "ctr", Args: []string{"task", "kill", "--signal", "KILL", v.ID}})
	v.node.Do(t, harness.Command{Program: "ctr", Args: []string{"task", "delete", "--force", v.ID}})
}

// lookAfter finds the service where it may be, and brings it back from the
// latest snapshot that was answered for if it is nowhere. Then it runs.
func (v *victim) lookAfter(t *testing.T) {
	t.Helper()
	v.wantWholeSnapshots(t)
	switch v.settled(t) {
	case client.Running:
		v.WantSame(t, v.Last())
		return
	case client.Paused:
		if r := v.node.Do(t, harness.Command{Program: "ctr-ateom", Args: []string{"tasks", "resume", v.ID}}); r.Code != 0 {
			t.Fatalf("resume what is paused: %s%s", r.Stdout, r.Stderr)
		}
		delete(v.safe, onDisk)
		v.WantSame(t, v.Last())
		return
	}
	v.Remove(t)
	store := onDisk
	from, ok := v.safe[store]
	if !ok {
		store = inBucket
		from = v.safe[store]
	}
	v.Service = v.node.Wake(t, v.spec, from.id, store, true)
	v.WantSame(t, from.state)
	// What is on the disk now is of the dead.
	delete(v.safe, onDisk)
	for _, s := range v.list(t, onDisk) {
		v.node.Ateom(t, "snapshots", "rm", "--store", onDisk, s.ID)
	}
}

// list lists the snapshots in a store.
func (v *victim) list(t *testing.T, store string) (list []struct{ ID string }) {
	t.Helper()
	if err := json.Unmarshal([]byte(v.node.Ateom(t, "snapshots", "ls", "--json", "--store", store)), &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// settled waits until the task is in a state that lasts and returns that;
// Stopped stands for no task at all.
func (v *victim) settled(t *testing.T) (state client.ProcessStatus) {
	t.Helper()
	harness.Eventually(t, func() error {
		ctx := v.node.Context(t)
		container, err := v.node.Client.LoadContainer(ctx, v.ID)
		if err != nil {
			return err
		}
		task, err := container.Task(ctx, nil)
		if errdefs.IsNotFound(err) {
			state = client.Stopped
			return nil
		}
		if err != nil {
			return err
		}
		status, err := task.Status(ctx)
		if errdefs.IsNotFound(err) {
			state = client.Stopped
			return nil
		}
		if err != nil {
			return err
		}
		v.Container, v.Task.Task = container, task
		switch state = status.Status; state {
		case client.Running:
			// It may be dying: who ends with its sandbox says so a moment later.
			if len(v.Processes(t)) == 0 {
				return errors.New("it runs without a process")
			}
			return nil
		case client.Paused, client.Stopped:
			return nil
		default:
			return fmt.Errorf("the task is %s", state)
		}
	})
	return state
}

// many is as many snapshots as a bucket may hold before the oldest go.
const many = 20

// wantWholeSnapshots verifies each snapshot that can be seen, byte for byte.
func (v *victim) wantWholeSnapshots(t *testing.T) {
	t.Helper()
	for _, store := range []string{onDisk, inBucket} {
		list := v.list(t, store)
		if len(list) > many {
			// Of those that nobody answered for none is later than the last ten.
			v.node.Ateom(t, "snapshots", "prune", "--store", store, "--keep-last", "10")
			continue
		}
		v.node.Ateom(t, "snapshots", "verify", "--deep", "--store", store)
		if want, ok := v.safe[store]; ok && !slices.ContainsFunc(list, func(s struct{ ID string }) bool { return s.ID == want.id }) {
			t.Errorf("snapshot %s was answered for and is not in %s: %v", want.id, store, list)
		}
	}
}

// report logs how often what was killed in which verb, and looks for drafts.
func (v *victim) report(t *testing.T) {
	t.Helper()
	for _, what := range slices.Sorted(maps.Keys(v.outcomes)) {
		t.Logf("%3d × %s", v.outcomes[what], what)
	}
	v.Remove(t)
	// Whoever comes next sweeps what killed processes have left.
	next := v.node.Run(t, harness.Container{Args: []string{"true"}})
	next.Remove(t)
	for _, dir := range []string{"drafts", "origins/*", "volumes/*"} {
		left, err := filepath.Glob(filepath.Join(v.node.Config.StateDir, dir, "*"))
		if err != nil || len(left) > 0 {
			t.Errorf("left behind: %q, %v", left, err)
		}
	}
}
