// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	eventstypes "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/typeurl/v2"
)

// A Recorder collects the task events of all containers of a node, in the
// order in which containerd publishes them.
type Recorder struct {
	events <-chan *events.Envelope
	errs   <-chan error
}

// Record begins to listen to the containerd that the node has now; it ends with the test.
func Record(t testing.TB, n *Node) *Recorder {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	r := &Recorder{}
	r.events, r.errs = n.Client.EventService().Subscribe(ctx, `topic~="/tasks/"`)
	return r
}

// Until returns the container's events, as words, up to the one that is last.
func (r *Recorder) Until(t testing.TB, id, last string) []string {
	t.Helper()
	words, _ := r.until(t, id, last)
	return words
}

// ExitsUntil returns the ends of the container's processes, as "id code", up to the
// event that is last.
func (r *Recorder) ExitsUntil(t testing.TB, id, last string) []string {
	t.Helper()
	_, exits := r.until(t, id, last)
	return exits
}

func (r *Recorder) until(t testing.TB, id, last string) (words, exits []string) {
	t.Helper()
	timeout := time.After(Limit)
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
			if exit, ok := event.(*eventstypes.TaskExit); ok {
				exits = append(exits, fmt.Sprint(exit.GetID(), " ", exit.GetExitStatus()))
			}
			if word == last {
				return words, exits
			}
		case err := <-r.errs:
			t.Fatalf("listen for events: %v, after %q", err, words)
		case <-timeout:
			t.Fatalf("no event %q of %s within %s, only %q, ends %q", last, id, Limit, words, exits)
		}
	}
}

// Each calls do with the container and the word of each event, until the containerd that is
// listened to ends, or the test.
func (r *Recorder) Each(do func(id, word string)) {
	for {
		select {
		case envelope := <-r.events:
			event, err := typeurl.UnmarshalAny(envelope.Event)
			if err != nil {
				continue
			}
			word, container := describe(event, strings.TrimPrefix(envelope.Topic, "/tasks/"))
			do(container, word)
		case <-r.errs:
			return
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
