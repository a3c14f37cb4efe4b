// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package endure

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/e2e/harness"
)

// lookAfter waits until the task is in one of the states, and brings the service
// back from the latest snapshot that was answered for if it is nowhere. Then it runs.
func (v *victim) lookAfter(t *testing.T, d deal, ok bool, allowed []client.ProcessStatus) {
	t.Helper()
	state := v.settled(t, allowed)
	if state == client.Stopped && d.verb.from == "" && d.target.name != containerd.name {
		v.told.await(t, v.ID)
	}
	switch starts := d.verb.from != ""; {
	case starts && !ok, d.maims(ok):
		// It is of no use, whatever it is.
	case starts && state == client.Running:
		v.arrived(t, d.verb.from)
		return
	case state == client.Running:
		v.wantAlive(t)
		v.wantNumbers(t)
		return
	case state == client.Paused:
		if !v.resume(t) {
			t.Fatalf("resume what is paused: %s", v.refusal)
		}
		v.wantAlive(t)
		if d.verb.name == "resume" {
			// One that was cut off may have run for a while, and runsc, whose streams are the
			// program's, has said in its log what had failed.
			v.forgetNumbers(t)
			return
		}
		v.wantNumbers(t)
		return
	}
	v.discard(t)
	from := inStore
	if v.isWhole(t, d, ok) {
		from = onDisk
	}
	v.Service = v.node.Wake(t, v.spec, v.safe[from].id, from.store(), true)
	v.arrived(t, from)
}

// isWhole says whether what is on the disk can be started from, DurableDirs included.
func (v *victim) isWhole(t *testing.T, d deal, ok bool) bool {
	t.Helper()
	from, isSafe := v.safe[onDisk]
	if !isSafe || d.verb.from == onDisk && ok {
		return false // the DurableDirs went with the task
	}
	_, err := os.Stat(filepath.Join(v.node.Config.StateDir, "lost", from.id))
	if err == nil {
		return true
	}
	// A Resume, or a start, that was not answered may have succeeded; then the DurableDirs do not
	// belong to the snapshot any more. Whose answer is lost is the shim's or containerd's.
	if brings := d.verb.name == "resume" || d.verb.from == onDisk; !brings || d.verb.from == onDisk && d.target.name != shim.name && d.target.name != containerd.name {
		t.Errorf("the DurableDirs of snapshot %s are gone: %v", from.id, err)
	}
	return false
}

// arrived wants the service that a snapshot of a kind holds, and removes what is on the disk,
// which is of the dead now.
func (v *victim) arrived(t *testing.T, from kind) {
	t.Helper()
	v.said, v.restored = v.safe[from].said, true
	if from == ofVolumes || from == nothing {
		v.said.state, v.restored = v.Ask(t), false // it is another process
	}
	v.wantAlive(t)
	v.wantNumbers(t)
	delete(v.safe, onDisk)
	for _, id := range v.verify(t)[local] {
		v.node.Ateom(t, "snapshots", "rm", "--store", local, id)
	}
	// DurableDirs that nobody has committed are kept for somebody to look at.
	if err := os.RemoveAll(filepath.Join(v.node.Config.StateDir, "lost")); err != nil {
		t.Fatal(err)
	}
}

// wantAlive fails the test unless the service is the one that said something before, and
// its DurableDir is of the same moment as its memory.
func (v *victim) wantAlive(t *testing.T) {
	t.Helper()
	v.WantSame(t, v.said.state)
	counted := v.Durable(t)
	if len(counted.Dirs) != 1 || counted.Dirs[0] != counted.Memory || counted.Memory < v.said.count {
		t.Errorf("the service has counted to %d in memory and to %v in its DurableDir, and was at %d before", counted.Memory, counted.Dirs, v.said.count)
	}
	v.said = said{v.Last(), counted.Memory + 1}
}

// wantNumbers fails the test unless what the service has written to its log since it was
// looked at last are consecutive numbers. The last one is looked at again the next time.
func (v *victim) wantNumbers(t *testing.T) {
	t.Helper()
	text := v.Log(t)[v.read[v.ID]:]
	text = text[:strings.LastIndex(text, "\n")+1] // what follows may be half written
	if v.read[v.ID] == 0 && v.restored {
		// It was being written when the memory was saved: the rest of a line.
		_, text, _ = strings.Cut(text, "\n")
		v.read[v.ID] = strings.Index(v.Log(t), "\n") + 1
	}
	if text == "" {
		return
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	first, err := strconv.Atoi(lines[0])
	if err != nil {
		t.Errorf("the log of %s goes on with %q", v.ID, lines[0])
		return
	}
	for i, line := range lines {
		if line != strconv.Itoa(first+i) {
			t.Errorf("line %d after byte %d of the log of %s is %q, want %d", i, v.read[v.ID], v.ID, line, first+i)
			return
		}
	}
	v.read[v.ID] += len(text) - len(lines[len(lines)-1]) - 1
}

// forgetNumbers has wantNumbers begin after what the log holds by now.
func (v *victim) forgetNumbers(t *testing.T) {
	t.Helper()
	said := v.Log(t)
	v.read[v.ID] = strings.LastIndex(said, "\n") + 1
}

// awaitSetAside waits until what the shim left that has died is cleaned up, and its DurableDirs are
// where who starts from the paused snapshot finds them.
func (v *victim) awaitSetAside(t *testing.T) {
	t.Helper()
	harness.Eventually(t, func() error {
		_, err := os.Stat(filepath.Join(v.node.Config.StateDir, "lost", v.safe[onDisk].id))
		if at := v.find(t, target{matches: func(args string) bool {
			return strings.Contains(args, "containerd-shim-ateom-v1") && strings.Contains(args, v.ID)
		}}); err == nil && len(at) > 0 {
			return fmt.Errorf("the delete action runs: %v", at)
		}
		return err
	})
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
		if state == client.Running && !slices.Contains(allowed, client.Created) {
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
	if errdefs.IsNotFound(err) {
		return client.Stopped, nil
	}
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
const many, some = 6, 3

// verify verifies each snapshot that can be seen, byte for byte, and returns their ids by
// store, the oldest first.
func (v *victim) verify(t *testing.T) map[string][]string {
	t.Helper()
	var all []struct{ ID, Store string }
	if err := json.Unmarshal([]byte(v.node.Ateom(t, "snapshots", "verify", "--deep", "--json")), &all); err != nil {
		t.Fatal(err)
	}
	ids := map[string][]string{}
	for _, s := range all {
		ids[s.Store] = append(ids[s.Store], s.ID)
	}
	for _, list := range ids {
		slices.Sort(list)
	}
	return ids
}

// wantWholeSnapshots verifies the snapshots, and that those are there that were answered for.
func (v *victim) wantWholeSnapshots(t *testing.T) {
	t.Helper()
	ids := v.verify(t)
	for as, want := range v.safe {
		if !slices.Contains(ids[as.store()], want.id) {
			t.Errorf("snapshot %s (%s) was answered for and is not there: %v", want.id, as, ids)
		}
	}
	if list := ids[bucket]; len(list) > many {
		old := slices.DeleteFunc(list[:len(list)-some], func(id string) bool {
			return id == v.safe[inStore].id || id == v.safe[ofVolumes].id
		})
		v.node.Ateom(t, append([]string{"snapshots", "rm", "--store", bucket}, old...)...)
	}
}
