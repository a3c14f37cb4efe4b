// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	eventstypes "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/containerd/v2/core/runtime"
	"github.com/google/go-cmp/cmp"
)

// A recorder publishes into a list.
type recorder struct {
	publish func(topic string) error // may be nil

	mu     sync.Mutex
	topics []string
	events []events.Event
}

func (r *recorder) Publish(_ context.Context, topic string, event events.Event) error {
	r.mu.Lock()
	r.topics, r.events = append(r.topics, topic), append(r.events, event)
	r.mu.Unlock()
	if r.publish != nil {
		return r.publish(topic)
	}
	return nil
}

func TestEventsArriveInTheOrderOfTheirPutting(t *testing.T) {
	r := &recorder{}
	q := newEventQueue(t.Context(), r)
	q.put(&eventstypes.TaskCreate{ContainerID: "c"})
	q.put(&eventstypes.TaskStart{ContainerID: "c"})
	var want []string
	const many = 500
	for i := range many {
		id := fmt.Sprint("e", i)
		q.put(&eventstypes.TaskExecAdded{ContainerID: "c", ExecID: id})
		want = append(want, id)
	}
	q.put(&eventstypes.TaskExit{ContainerID: "c"})
	q.put(&eventstypes.TaskDelete{ContainerID: "c"})
	q.close()

	var got []string
	for _, e := range r.events[2 : 2+many] {
		got = append(got, e.(*eventstypes.TaskExecAdded).ExecID)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("execs (-want +got):\n%s", diff)
	}
	ends := slices.Concat(r.topics[:2], r.topics[2+many:])
	wantEnds := []string{runtime.TaskCreateEventTopic, runtime.TaskStartEventTopic, runtime.TaskExitEventTopic, runtime.TaskDeleteEventTopic}
	if diff := cmp.Diff(wantEnds, ends); diff != "" {
		t.Errorf("topics (-want +got):\n%s", diff)
	}
}

// Nobody who reports something waits for containerd.
func TestPutDoesNotWaitForThePublisher(t *testing.T) {
	release := make(chan struct{})
	r := &recorder{publish: func(string) error { <-release; return nil }}
	q := newEventQueue(t.Context(), r)
	for range 100 { // would stop at the first
		q.put(&eventstypes.TaskStart{})
	}
	close(release)
	q.close()
	if len(r.events) != 100 {
		t.Errorf("%d events arrived, want 100", len(r.events))
	}
}

func TestOneLostEventDoesNotStopTheOthers(t *testing.T) {
	r := &recorder{publish: func(topic string) error {
		if topic == runtime.TaskStartEventTopic {
			return errors.New("containerd is away")
		}
		return nil
	}}
	q := newEventQueue(t.Context(), r)
	q.put(&eventstypes.TaskStart{})
	q.put(&eventstypes.TaskExit{})
	q.close()
	if diff := cmp.Diff([]string{runtime.TaskStartEventTopic, runtime.TaskExitEventTopic}, r.topics); diff != "" {
		t.Errorf("topics (-want +got):\n%s", diff)
	}
}

// The context in which the shim was made may end long before its last event.
func TestEventsOutliveTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := &recorder{}
	q := newEventQueue(ctx, r)
	q.put(&eventstypes.TaskExit{})
	q.close()
	if len(r.events) != 1 {
		t.Errorf("%d events arrived, want 1", len(r.events))
	}
}

// Every event that the shim emits has a topic of its own.
func TestEventsHaveTopics(t *testing.T) {
	for _, e := range []any{
		&eventstypes.TaskCreate{}, &eventstypes.TaskStart{}, &eventstypes.TaskExit{}, &eventstypes.TaskDelete{},
		&eventstypes.TaskExecAdded{}, &eventstypes.TaskExecStarted{}, &eventstypes.TaskPaused{}, &eventstypes.TaskResumed{},
		&eventstypes.TaskCheckpointed{}, &eventstypes.TaskOOM{},
	} {
		if topic := runtime.GetTopic(e); topic == runtime.TaskUnknownTopic {
			t.Errorf("%T has no topic", e)
		}
	}
}

func TestExitEventNamesTheProcess(t *testing.T) {
	for execID, want := range map[string]string{"": "c", "e": "e"} {
		p := newTestProcess(execID)
		p.setStarted(7)
		p.finish(3)
		e := exitEvent("c", p)
		if e.ContainerID != "c" || e.ID != want || e.Pid != 7 || e.ExitStatus != 3 || e.ExitedAt.AsTime().IsZero() {
			t.Errorf("exit of %q = %v", execID, e)
		}
	}
}
