// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package endure

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
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
	tally  *tally
	// safe are the snapshots of the service that were answered for, by store;
	// what a pause saved counts until the resume after it.
	safe map[string]acknowledged
	// refusal is what the last verb that failed has said.
	refusal string
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

func newVictim(t *testing.T, random *rand.Rand, counts *tally) *victim {
	t.Helper()
	n := harness.NewNode(t, harness.Config{})
	v := &victim{node: n, random: random, tally: counts, safe: map[string]acknowledged{}}
	v.spec = harness.ServiceContainer(harness.NewNetwork(t), 8, map[string]string{
		"ateom.dev/durable-dirs": `[{"name":"home","mountPath":"/home/agent"}]`,
	}, "/home/agent")
	v.Service = n.RunService(t, v.spec)
	if !v.commit(t) {
		t.Fatalf("the first commit has failed: %s", v.refusal)
	}
	return v
}

// round lets a verb begin, kills something, and sees what has become of the
// service.
func (v *victim) round(t *testing.T, d deal) {
	t.Helper()
	if d.verb.before == client.Paused && !v.pause(t) {
		t.Fatalf("pause before the round: %s", v.refusal)
	}
	// What comes and goes within a verb is waited for from the moment on.
	span := d.verb.span * 3 / 2
	if d.target.brief {
		span = d.verb.span / 2
	}
	moment := time.Duration(v.random.Int64N(int64(span)))
	t.Logf("%s, %s is killed after %s", d.verb.name, d.target.name, moment)

	var old []int
	if d.target.brief {
		old = v.find(t, d.target)
	}
	var ok bool
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ok = d.verb.do(v, t)
	}()
	select {
	case <-time.After(moment):
	case <-ended:
	}
	killed := v.strike(t, d.target, old, ended)
	select {
	case <-ended:
	case <-time.After(2 * harness.Limit):
		t.Fatalf("%s does not end, %s was killed", d.verb.name, d.target.name)
	}
	v.tally.count(d, killed, ok)
	if !ok && !killed {
		t.Errorf("%s has failed, and nothing was killed: %s", d.verb.name, v.refusal)
	}
	v.wantWholeSnapshots(t)
	v.lookAfter(t, d, d.allowed(ok, killed))
}

// strike kills all processes of a kind but the old ones, as soon as there is one
// and while the verb is under way, and says whether it has killed any.
func (v *victim) strike(t *testing.T, what target, old []int, ended <-chan struct{}) (killed bool) {
	t.Helper()
	if what.matches == nil {
		if err := errors.Join(v.node.Stop(syscall.SIGKILL), v.node.Boot()); err != nil {
			t.Error(err)
		}
		return true
	}
	for last := false; !killed && !last; {
		select {
		case <-ended:
			last = true
		default:
		}
		for _, pid := range v.find(t, what) {
			if !slices.Contains(old, pid) && syscall.Kill(pid, syscall.SIGKILL) == nil {
				killed = true
			}
		}
		time.Sleep(glance) // between two looks
	}
	return killed
}

// glance is between two looks for a process that may live for some milliseconds.
const glance = 2 * time.Millisecond

// find returns the node's processes of a kind.
func (v *victim) find(t *testing.T, what target) []int {
	t.Helper()
	if what.matches == nil {
		return nil
	}
	return slices.DeleteFunc(harness.Find(t, what.matches), func(pid int) bool { return !v.node.Owns(pid) })
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
		v.refusal = r.Stdout + r.Stderr
		return a, false
	}
	if err := json.Unmarshal([]byte(r.Stdout), &a); err != nil {
		t.Errorf("ctr-ateom %q: %v in %q", args, err, r.Stdout)
		return a, false
	}
	return a, true
}

func (v *victim) pause(t *testing.T) bool {
	said := v.Last()
	a, ok := v.ask(t, "pause")
	if ok {
		v.safe[onDisk] = acknowledged{a.Snapshot.ID, said}
	}
	return ok
}

func (v *victim) commit(t *testing.T) bool {
	said := v.Last()
	a, ok := v.ask(t, "commit", "--scope", "Full")
	if ok {
		v.safe[inBucket] = acknowledged{a.Snapshot.ID, said}
	}
	return ok
}

func (v *victim) resume(t *testing.T) bool {
	_, ok := v.ask(t, "resume")
	if ok {
		delete(v.safe, onDisk) // the next pause replaces it
	}
	return ok
}

// delete ends the task; what was paused goes with it.
func (v *victim) delete(t *testing.T) bool {
	delete(v.safe, onDisk)
	for _, args := range [][]string{{"kill", "--signal", "KILL"}, {"delete", "--force"}} {
		r := v.node.Do(t, harness.Command{Program: "ctr", Args: append(append([]string{"task"}, args...), v.ID)})
		if r.Code != 0 {
			v.refusal = r.Stdout + r.Stderr
			return false
		}
	}
	return true
}

// lookAfter waits until the task is in one of the states, and brings the service
// back from the latest snapshot that was answered for if it is nowhere. Then it runs.
func (v *victim) lookAfter(t *testing.T, d deal, allowed []client.ProcessStatus) {
	t.Helper()
	switch v.settled(t, allowed) {
	case client.Running:
		v.WantSame(t, v.Last())
		return
	case client.Paused:
		if !v.resume(t) {
			t.Fatalf("resume what is paused: %s", v.refusal)
		}
		delete(v.safe, onDisk)
		v.WantSame(t, v.Last())
		return
	}
	v.Remove(t)
	store := onDisk
	from, ok := v.safe[store]
	if ok && d.verb.name == "resume" {
		// A Resume that was not answered may have succeeded; then the DurableDirs do not
		// belong to the snapshot any more.
		_, err := os.Stat(filepath.Join(v.node.Config.StateDir, "lost", from.id))
		ok = err == nil
	}
	if !ok {
		store = inBucket
		from = v.safe[store]
	}
	v.Service = v.node.Wake(t, v.spec, from.id, store, true)
	v.WantSame(t, from.state)
	// What is on the disk now is of the dead.
	delete(v.safe, onDisk)
	for _, id := range v.list(t, onDisk) {
		v.node.Ateom(t, "snapshots", "rm", "--store", onDisk, id)
	}
}

// list returns the ids of the snapshots in a store, the oldest first.
func (v *victim) list(t *testing.T, store string) (ids []string) {
	t.Helper()
	var all []struct{ ID string }
	if err := json.Unmarshal([]byte(v.node.Ateom(t, "snapshots", "ls", "--json", "--store", store)), &all); err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		ids = append(ids, s.ID)
	}
	slices.Sort(ids)
	return ids
}

// settled waits until the task is in one of the states and, if it runs, answers;
// Stopped stands for no task, too.
func (v *victim) settled(t *testing.T, allowed []client.ProcessStatus) (state client.ProcessStatus) {
	t.Helper()
	harness.Eventually(t, func() (err error) {
		if state, err = v.look(t); err != nil {
			return err
		}
		if !slices.Contains(allowed, state) {
			return fmt.Errorf("the task is %s, which is none of %v", state, allowed)
		}
		if state == client.Running {
			return v.Answers(t.Context())
		}
		return nil
	})
	return state
}

// look returns the state of the task.
func (v *victim) look(t *testing.T) (client.ProcessStatus, error) {
	ctx := v.node.Context(t)
	container, err := v.node.Client.LoadContainer(ctx, v.ID)
	if err != nil {
		return "", err
	}
	task, err := container.Task(ctx, nil)
	if errdefs.IsNotFound(err) {
		return client.Stopped, nil
	}
	if err != nil {
		return "", err
	}
	status, err := task.Status(ctx)
	if errdefs.IsNotFound(err) {
		return client.Stopped, nil
	}
	if err != nil {
		return "", err
	}
	v.Container, v.Task.Task = container, task
	return status.Status, nil
}

// A bucket holds at most many snapshots before all but some of them go.
const many, some = 8, 3

// wantWholeSnapshots verifies each snapshot that can be seen, byte for byte, and
// that those are there that were answered for.
func (v *victim) wantWholeSnapshots(t *testing.T) {
	t.Helper()
	if list := v.list(t, inBucket); len(list) > many {
		old := slices.DeleteFunc(list[:len(list)-some], func(id string) bool { return id == v.safe[inBucket].id })
		v.node.Ateom(t, append([]string{"snapshots", "rm", "--store", inBucket}, old...)...)
	}
	for _, store := range []string{onDisk, inBucket} {
		v.node.Ateom(t, "snapshots", "verify", "--deep", "--store", store)
		list := v.list(t, store)
		if want, ok := v.safe[store]; ok && !slices.Contains(list, want.id) {
			t.Errorf("snapshot %s was answered for and is not in %s: %v", want.id, store, list)
		}
	}
}

// wantNothingLeft removes the service, and looks for what killed processes left.
func (v *victim) wantNothingLeft(t *testing.T) {
	t.Helper()
	v.Remove(t)
	// Whoever comes next sweeps.
	next := v.node.Run(t, harness.Container{Args: []string{"true"}})
	next.Remove(t)
	for _, dir := range []string{"drafts", "origins/*", "volumes/*"} {
		left, err := filepath.Glob(filepath.Join(v.node.Config.StateDir, dir, "*"))
		if err != nil || len(left) > 0 {
			t.Errorf("left behind: %q, %v", left, err)
		}
	}
}
