// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package task

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	eventstypes "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/typeurl/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/ateom/ateom/e2e/harness"
)

// A recorder collects the task events of all containers of a node, in the
// order in which containerd publishes them.
type recorder struct {
	events <-chan *events.Envelope
	errs   <-chan error
}

// record begins to listen; it ends with the test.
func record(t *testing.T, n *harness.Node) *recorder {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	r := &recorder{}
	r.events, r.errs = n.Client.EventService().Subscribe(ctx, `topic~="/tasks/"`)
	return r
}

// until returns the container's events, as words, up to the one that is last.
func (r *recorder) until(t *testing.T, id, last string) []string {
	t.Helper()
	timeout := time.After(harness.Limit)
	var words []string
	for {
		select {
		case envelope := <-r.events:
			event, err := typeurl.UnmarshalAny(envelope.Event)
			if err != nil {
				t.Fatal(err)
			}
			word, container := describe(event, strings.TrimPrefix(envelope.Topic, "/tasks/"))
			if container != id {
				continue
			}
			words = append(words, word)
			if word == last {
				return words
			}
		case err := <-r.errs:
			t.Fatalf("listen for events: %v, after %q", err, words)
		case <-timeout:
			t.Fatalf("no event %q of %s within %s, only %q", last, id, harness.Limit, words)
		}
	}
}

// describe returns an event's topic, with "of exec" where it is not about the
// container's first process, and the container that it is about.
func describe(event any, topic string) (word, container string) {
	e, ok := event.(interface{ GetContainerID() string })
	if !ok {
		return topic, ""
	}
	if exit, ok := event.(*eventstypes.TaskExit); ok && exit.GetID() != exit.GetContainerID() {
		topic += " of exec"
	}
	if del, ok := event.(*eventstypes.TaskDelete); ok && del.GetID() != "" && del.GetID() != del.GetContainerID() {
		topic += " of exec"
	}
	return topic, e.GetContainerID()
}

func TestEventsComeInTheirOrder(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	r := record(t, n)
	task := n.Run(t, harness.Container{Args: []string{"sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.01; done"}})
	ctx := n.Context(t)
	if err := run(t, task, "true"); err != nil {
		t.Fatal(err)
	}
	if err := task.Pause(ctx); err != nil {
		t.Fatal(err)
	}
	if err := task.Resume(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := task.Checkpoint(ctx, client.WithCheckpointImagePath("file://"+t.TempDir())); err != nil {
		t.Fatal(err)
	}
	task.KillAndWait(t, syscall.SIGKILL)
	if _, err := task.Delete(ctx); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"create", "start", "exec-added", "exec-started", "exit of exec",
		"paused", "resumed",
		// What the client does for a checkpoint.
		"paused", "checkpointed", "resumed",
		"exit", "delete",
	}
	if diff := cmp.Diff(want, r.until(t, task.ID, "delete")); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestWantOfMemoryIsTold(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	r := record(t, n)
	task := n.Create(t, harness.Container{
		Args: []string{"sh", "-c", "tail /dev/zero"},
		Opts: []oci.SpecOpts{harness.WithMemoryLimit(128 << 20)},
	})
	if code := task.RunToEnd(t); code != 137 {
		t.Errorf("exit code %d, want 137", code)
	}
	if diff := cmp.Diff([]string{"create", "start", "oom", "exit"}, r.until(t, task.ID, "exit")); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// A pod's cgroup outlives the containers in it, with the count of those that
// were killed for want of memory.
func TestWantOfMemoryIsToldOfTheContainerThatHadIt(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	cgroup, err := harness.MakeCgroup("kept")
	if err != nil {
		t.Fatal(err)
	}
	if err := harness.LimitCgroup(cgroup, 128<<20); err != nil {
		t.Fatal(err)
	}
	r := record(t, n)
	container := harness.Container{
		Args: []string{"sh", "-c", "tail /dev/zero"},
		Opts: []oci.SpecOpts{oci.WithCgroup("/" + cgroup)},
	}
	first := n.Create(t, container)
	first.RunToEnd(t)
	if diff := cmp.Diff([]string{"create", "start", "oom", "exit"}, r.until(t, first.ID, "exit")); diff != "" {
		t.Errorf("events of the first container (-want +got):\n%s", diff)
	}
	first.Remove(t)

	container.Args = []string{"sleep", "1000"}
	second := n.Run(t, container)
	if err := syscall.Kill(int(second.Pid()), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"create", "start", "exit"}, r.until(t, second.ID, "exit")); diff != "" {
		t.Errorf("events of a container that somebody has killed (-want +got):\n%s", diff)
	}
}
