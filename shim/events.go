// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"sync"
	"time"

	eventstypes "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/containerd/v2/core/runtime"
	"github.com/containerd/containerd/v2/pkg/protobuf"
	"github.com/containerd/log"
)

// publishLimit bounds one attempt to hand an event to containerd. The
// publisher itself tries again what did not arrive.
const publishLimit = 10 * time.Second

// An eventQueue hands events to containerd one after the other, in the order
// in which they were put, without making anybody wait.
type eventQueue struct {
	publisher events.Publisher

	mu     sync.Mutex
	queue  []any
	wake   chan struct{} // holds one token if queue may have something
	closed bool
	done   chan struct{}
}

func newEventQueue(ctx context.Context, p events.Publisher) *eventQueue {
	q := &eventQueue{publisher: p, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go q.run(context.WithoutCancel(ctx))
	return q
}

// put appends an event, one of containerd's api/events messages.
func (q *eventQueue) put(event any) {
	q.mu.Lock()
	q.queue = append(q.queue, event)
	q.mu.Unlock()
	q.signal()
}

func (q *eventQueue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// close returns when every event is handed over.
func (q *eventQueue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.signal()
	<-q.done
}

func (q *eventQueue) run(ctx context.Context) {
	defer close(q.done)
	for range q.wake {
		for {
			q.mu.Lock()
			batch, closed := q.queue, q.closed
			q.queue = nil
			q.mu.Unlock()
			if len(batch) == 0 && closed {
				return
			}
			if len(batch) == 0 {
				break
			}
			for _, e := range batch {
				q.publish(ctx, e)
			}
		}
	}
}

func (q *eventQueue) publish(ctx context.Context, event any) {
	ctx, cancel := context.WithTimeout(ctx, publishLimit)
	defer cancel()
	topic := runtime.GetTopic(event)
	if err := q.publisher.Publish(ctx, topic, event.(events.Event)); err != nil {
		log.G(ctx).WithError(err).WithField("topic", topic).Warn("publish event")
	}
}

// exitEvent describes the end of p in container id.
func exitEvent(id string, p *process) *eventstypes.TaskExit {
	status, at := p.exit()
	execID := p.execID
	if execID == "" {
		execID = id
	}
	return &eventstypes.TaskExit{
		ContainerID: id, ID: execID, Pid: uint32(p.hostPid()), ExitStatus: status, ExitedAt: protobuf.ToTimestamp(at),
	}
}
