// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"fmt"
	"maps"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/e2e/harness"
)

// A beginning is a way to start a new task from a snapshot.
type beginning struct {
	name string
	// local says that the snapshot is the node's own: a sandbox slept in it, and its shim has died.
	local bool
	// annotated says that the container's annotations ask for it, and not ctr-ateom.
	annotated bool
	// stopped is the beginning of the command line of the process that is stopped.
	stopped string
}

var beginnings = []beginning{
	{name: "restored from the node", local: true, stopped: sideCar},
	{name: "fetched from a store", stopped: jobs},
	{name: "restored from a store", stopped: sideCar},
	{name: "restored as annotated", annotated: true, stopped: sideCar},
}

// victims are what is killed while a start is under way. Without a pattern it is containerd.
var victims = []struct{ name, pattern, daemon string }{
	{name: "shim", pattern: "containerd-shim-ateom-v1"},
	{name: "gofer"}, // what is stopped
	{name: "sandbox", pattern: "runsc-sandbox"},
	{name: "file server", pattern: "runsc-gofer"},
	{name: "containerd", daemon: "containerd"},
	{name: "containerd 1.7", daemon: "containerd-1.7"},
}

// Whatever dies while a task starts from a snapshot: the start fails and says so in a
// sentence, nothing of the task stays, and the next start from the same snapshot goes on
// with the same memory and the same DurableDir.
func TestAStartFromASnapshotMayBeCutOff(t *testing.T) {
	for _, b := range beginnings {
		for _, v := range victims {
			if b.stopped == jobs && (v.name == "sandbox" || v.name == "file server") {
				continue // there is none yet
			}
			t.Run(b.name+", "+v.name, func(t *testing.T) {
				t.Parallel()
				s, spec := startOn(t, harness.Config{Daemon: v.daemon}, small)
				last, n := s.Last(), s.Node
				id, store := "", "dir"
				if b.local {
					id, store = sleep(t, s), "local"
					s.KillShim(t)
					harness.Eventually(t, func() error { return nothingOf(t, s.Task) })
				} else {
					id = snapshotOf(t, n.Ateom(t, "tasks", "commit", "--json", "--scope", "Full", s.ID))
				}
				s.Remove(t)

				task, ended, pids, release := b.caught(t, n, spec, id, store)
				if v.daemon != "" {
					n.Restart(t, syscall.SIGKILL)
				} else {
					if v.pattern != "" {
						pids = owned(t, n, v.pattern)
					}
					if len(pids) == 0 {
						t.Fatalf("there is no %s to kill", v.name)
					}
					for _, pid := range pids {
						if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
							t.Fatal(err)
						}
					}
				}
				release()
				message := <-ended
				if message == "" {
					t.Fatal("the start succeeds")
				}
				if v.daemon == "" && strings.Count(strings.TrimSpace(message), "\n") > 1 {
					t.Errorf("it says more than a sentence and a hint: %s", message)
				}
				t.Logf("it says: %s", message)

				harness.Eventually(t, func() error {
					if state := stateOf(t, task); state != "" && state != client.Created && state != client.Stopped {
						return fmt.Errorf("the task is %s", state)
					}
					return nil
				})
				task.Remove(t)
				harness.Eventually(t, func() error { return nothingOf(t, task) })
				wantWhole(t, n)
				wantGoesOn(t, n.Wake(t, spec, id, store, false), last)
			})
		}
	}
}

// begin starts a task from a snapshot. ended tells how that failed, "" if it did not.
func (b beginning) begin(t *testing.T, n *harness.Node, spec harness.Container, id, store string) (*harness.Task, <-chan string) {
	t.Helper()
	ended := make(chan string, 1)
	if !b.annotated {
		name, args := n.WakeCommand(t, spec, id, store, false)
		go func() {
			r := n.Do(t, harness.Command{Program: ours, Args: args})
			if r.Code != 0 && strings.TrimSpace(r.Stderr) == "" {
				r.Stderr = "nothing"
			}
			ended <- r.Stderr
		}()
		return n.Named(t, name), ended
	}
	spec.Annotations = maps.Clone(spec.Annotations)
	spec.Annotations["ateom.dev/restore-from"] = id
	if !b.local {
		spec.Annotations["ateom.dev/store"] = store
	}
	task := n.Create(t, spec)
	go func() {
		if err := task.Begin(t, spec); err != nil {
			ended <- err.Error()
		}
		close(ended)
	}()
	return task, ended
}

// caught begins again and again, until what is to be stopped was there for long enough.
func (b beginning) caught(t *testing.T, n *harness.Node, spec harness.Container, id, store string) (task *harness.Task, ended <-chan string, pids []int, release func()) {
	t.Helper()
	const attempts = 50
	for range attempts {
		task, ended = b.begin(t, n, spec, id, store)
		for missed := false; !missed; {
			if pids, release = stopped(t, n, b.stopped); len(pids) > 0 {
				return task, ended, pids, release
			}
			select {
			case message := <-ended:
				if message != "" {
					t.Fatal("nothing was killed, and the start fails: ", message)
				}
				missed = true
			default:
			}
		}
		task.Remove(t)
	}
	t.Fatalf("in %d starts, no %s was seen", attempts, b.stopped)
	return nil, nil, nil, nil
}

// stateOf is the state of a task, "" if there is none.
func stateOf(t *testing.T, task *harness.Task) client.ProcessStatus {
	t.Helper()
	ctx := task.Node.Context(t)
	container, err := task.Node.Client.LoadContainer(ctx, task.ID)
	if errdefs.IsNotFound(err) {
		return ""
	}
	must(t, err)
	running, err := container.Task(ctx, nil)
	if errdefs.IsNotFound(err) {
		return ""
	}
	must(t, err)
	status, err := running.Status(ctx)
	if errdefs.IsNotFound(err) {
		return ""
	}
	must(t, err)
	return status.Status
}
