// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package endure

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"

	"github.com/ateom/ateom/e2e/bench/lab"
	"github.com/ateom/ateom/e2e/harness"
)

// A victim is a service that is paused, committed, resumed, deleted and started anew while
// somebody kills what that needs.
type victim struct {
	*harness.Service
	node   *harness.Node
	spec   harness.Container
	random *rand.Rand
	tally  *tally
	// said is what the service that runs, or sleeps, has said last.
	said said
	// restored says that the sandbox has come back from a snapshot.
	restored bool
	// safe are the snapshots that were answered for; what a pause saved counts until the
	// resume after it.
	safe map[kind]acknowledged
	// refusal is what the last verb that failed has said.
	refusal string
	// spans are how long each verb takes when nobody is killed, by its name.
	spans map[string]time.Duration
	// cutOff are the tasks whose shims were killed while they started.
	cutOff map[string]bool
	// read is how much of a task's log was looked at.
	read map[string]int
	// usual is how many of each thing the node may hold while the service runs.
	usual map[string]int
	// told are the ends of tasks that containerd has told of.
	told *exits
	// dead are the tasks that were removed.
	dead []*harness.Task
	// command is what ctr-ateom is told to start the next service.
	command []string
}

// A said is what a service said: its memory, and what it has counted in its DurableDir.
type said struct {
	state lab.State
	count int
}

// An acknowledged snapshot holds the service that said it.
type acknowledged struct {
	id   string
	said said
}

// A kind of snapshots is where they are and what is in them.
type kind string

const (
	onDisk    kind = "paused"
	inStore   kind = "committed"
	ofVolumes kind = "committed, volumes alone"
	nothing   kind = "none"
)

// Stores of snapshots.
const (
	local  = "local"
	bucket = "dir"
)

func (k kind) store() string {
	if k == onDisk {
		return local
	}
	return bucket
}

func newVictim(t *testing.T, random *rand.Rand, counts *tally) *victim {
	t.Helper()
	n := harness.NewNode(t, harness.Config{})
	v := &victim{
		node: n, random: random, tally: counts, safe: map[kind]acknowledged{}, spans: map[string]time.Duration{}, usual: map[string]int{},
		told: newExits(), read: map[string]int{}, cutOff: map[string]bool{},
	}
	v.told.listen(t, n)
	v.spec = harness.ServiceContainer(harness.NewNetwork(t), 4, map[string]string{
		"ateom.dev/durable-dirs": `[{"name":"home","mountPath":"/home/agent"}]`,
	}, "/home/agent")
	v.Service = n.RunService(t, v.spec)
	v.said = said{state: v.Last()}
	v.wantAlive(t)
	return v
}

// rehearse does every verb once without a kill, and notes how long each takes and what the
// node holds after it.
func (v *victim) rehearse(t *testing.T) {
	t.Helper()
	for _, what := range verbs {
		v.prepare(t, what)
		began := time.Now()
		if !what.do(v, t) {
			t.Fatalf("%s fails, and nothing was killed: %s", what.name, v.refusal)
		}
		v.spans[what.name] = time.Since(began)
		v.lookAfter(t, deal{verb: what}, true, []client.ProcessStatus{what.after})
		v.learn(t)
	}
}

// tries is how often a round is played until what it aims at is hit.
const tries = 3

// round plays a deal, and again where the verb was over before the blow: earlier then. What comes
// and goes within a verb is waited for from the moment on.
func (v *victim) round(t *testing.T, d deal) {
	t.Helper()
	span := v.spans[d.verb.name] * 5 / 4
	if d.target.brief {
		span = v.spans[d.verb.name] / 2
	}
	moment := time.Duration(v.random.Float64() * float64(span))
	for range tries {
		if v.play(t, d, moment) || t.Failed() {
			return
		}
		moment /= 4
	}
}

// play lets a verb begin, kills something, and sees what has become of the service. It says
// whether there was anything to kill.
func (v *victim) play(t *testing.T, d deal, moment time.Duration) (killed bool) {
	t.Helper()
	if d.target.name == files.name && len(v.find(t, files)) == 0 && !(v.pause(t) && v.resume(t)) {
		t.Fatalf("pause and resume a sandbox that has lost who serves its files: %s", v.refusal)
	}
	v.prepare(t, d.verb)
	t.Logf("%s is killed after %s (%s)", d, moment, v.ID)

	var old []int
	if d.target.brief {
		old = v.find(t, d.target)
	}
	var ok bool
	v.refusal = ""
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ok = d.verb.do(v, t)
	}()
	select {
	case <-time.After(moment):
	case <-ended:
	}
	task := v.ID
	killed = v.strike(t, d.target, old, ended)
	select {
	case <-ended:
	case <-time.After(2 * harness.Limit):
		t.Fatalf("%s does not end", d)
	}
	if d.verb.after == client.Stopped && (d.target.name == shim.name || d.target.name == containerd.name) {
		v.told.excuse(task)
	}
	v.cutOff[task] = d.target.name == shim.name && d.verb.from != ""
	v.tally.count(d, killed, ok)
	if !ok && !killed {
		t.Errorf("%s has failed, and nothing was killed: %s", d.verb.name, v.refusal)
	}
	if !ok && v.refusal == "" {
		t.Errorf("%s has failed and does not say why", d.verb.name)
	}
	v.wantWholeSnapshots(t)
	restored := v.restored
	if ok && d.verb.after == client.Running && d.verb.before != client.Running {
		restored = d.verb.from != ofVolumes && d.verb.from != nothing
	}
	v.lookAfter(t, d, ok, d.allowed(ok, killed, restored))
	v.wantNothingMore(t)
	return killed
}

// strike kills all processes of a kind but the old ones, as soon as there is one
// and while the verb is under way, and says whether it has killed any.
func (v *victim) strike(t *testing.T, what target, old []int, ended <-chan struct{}) (killed bool) {
	t.Helper()
	if what.matches == nil {
		if err := errors.Join(v.node.Stop(syscall.SIGKILL), v.node.Boot()); err != nil {
			t.Error(err)
			return true
		}
		v.told.listen(t, v.node)
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

// prepare brings the service, which runs, to where a verb begins.
func (v *victim) prepare(t *testing.T, what verb) {
	t.Helper()
	if (what.before == client.Paused || what.from == onDisk) && !v.pause(t) {
		t.Fatalf("pause before the round: %s", v.refusal)
	}
	if what.from == "" {
		return
	}
	if what.from == onDisk {
		// Who is deleted takes what it slept in along; who loses its shim does not.
		v.KillShim(t)
		v.settled(t, []client.ProcessStatus{client.Stopped})
		v.awaitSetAside(t)
	}
	v.discard(t)
	if what.from == nothing {
		v.Service = v.node.Serve(v.node.Create(t, v.spec), v.spec.Network)
		return
	}
	origin := v.safe[what.from]
	name, command := v.node.WakeCommand(t, v.spec, origin.id, what.from.store(), true)
	v.Service, v.command = v.node.Serve(v.node.Named(t, name), v.spec.Network), command
}

// discard removes the service's task.
func (v *victim) discard(t *testing.T) {
	t.Helper()
	v.Remove(t)
	v.dead = append(v.dead, v.Task)
}

// An answer is what ctr-ateom says of a verb.
type answer struct {
	Snapshot struct{ ID string }
}

// ask runs a verb; false if it failed, however.
func (v *victim) ask(t *testing.T, args ...string) (answer, bool) {
	var a answer
	if !v.run(t, "ctr-ateom", func(out string) error { return json.Unmarshal([]byte(out), &a) },
		append(append([]string{"tasks"}, args...), "--json", v.ID)...) {
		return a, false
	}
	return a, true
}

// run runs a command, and says whether it succeeded; read takes its output.
func (v *victim) run(t *testing.T, program string, read func(string) error, args ...string) bool {
	r := v.node.Do(t, harness.Command{Program: program, Args: args})
	if r.Code != 0 {
		v.refusal = r.Stdout + r.Stderr
		return false
	}
	if err := read(r.Stdout); err != nil {
		t.Errorf("%s %q: %v in %q", program, args, err, r.Stdout)
		return false
	}
	return true
}

func ignore(string) error { return nil }

func (v *victim) pause(t *testing.T) bool {
	a, ok := v.ask(t, "pause")
	if ok {
		v.safe[onDisk] = acknowledged{a.Snapshot.ID, v.said}
	}
	return ok
}

func (v *victim) commit(t *testing.T) bool { return v.commitAs(t, "Full", inStore) }

func (v *victim) commitVolumes(t *testing.T) bool { return v.commitAs(t, "Data", ofVolumes) }

func (v *victim) commitAs(t *testing.T, scope string, as kind) bool {
	a, ok := v.ask(t, "commit", "--scope", scope)
	if ok {
		v.safe[as] = acknowledged{a.Snapshot.ID, v.said}
	}
	return ok
}

func (v *victim) resume(t *testing.T) bool {
	_, ok := v.ask(t, "resume")
	if ok {
		delete(v.safe, onDisk) // the next pause replaces it
		v.restored = true
	}
	return ok
}

// kill ends the program; what was paused is worth nothing after that.
func (v *victim) kill(t *testing.T) bool {
	delete(v.safe, onDisk)
	return v.run(t, "ctr", ignore, "task", "kill", "--signal", "KILL", v.ID)
}

// delete ends the task; what was paused goes with it.
func (v *victim) delete(t *testing.T) bool {
	return v.kill(t) && v.run(t, "ctr", ignore, "task", "delete", "--force", v.ID)
}

// exec has another process read what the service has written first.
func (v *victim) exec(t *testing.T) bool {
	return v.run(t, "ctr", func(out string) error {
		if out != v.said.state.Nonce {
			return fmt.Errorf("it is not %q", v.said.state.Nonce)
		}
		return nil
	}, "task", "exec", "--exec-id", harness.NewID(t), v.ID, "cat", "/home/agent/nonce")
}

// startAnew creates and starts the task of the container that prepare has made.
func (v *victim) startAnew(t *testing.T) bool {
	if err := v.Begin(t, v.spec); err != nil {
		v.refusal = err.Error()
		return false
	}
	return true
}

// start starts the service from the snapshot that prepare has chosen.
func (v *victim) start(t *testing.T) bool { return v.run(t, "ctr-ateom", ignore, v.command...) }
