// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package endure

import (
	"fmt"
	"sync"
	"testing"

	"github.com/ateom/ateom/e2e/harness"
)

// exits counts the ends of tasks that containerd has told of, by task.
type exits struct {
	mu      sync.Mutex
	counts  map[string]int
	excused map[string]bool
}

func newExits() *exits { return &exits{counts: map[string]int{}, excused: map[string]bool{}} }

// listen counts what the containerd that the node has now tells of, until it dies.
func (e *exits) listen(t *testing.T, n *harness.Node) {
	t.Helper()
	r := harness.Record(t, n)
	go r.Each(func(id, word string) {
		if word == "exit" {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.counts[id]++
		}
	})
}

// excuse allows a second word on the end of a task: containerd tells of the end of whatever task
// has lost its shim, also if the shim had told of it; and to one that was killed before it had
// thanked for that word, the shim tells it again.
func (e *exits) excuse(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.excused[id] = true
}

// await waits until the end of a task was told.
func (e *exits) await(t *testing.T, id string) {
	t.Helper()
	harness.Eventually(t, func() error {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.counts[id] == 0 {
			return fmt.Errorf("nobody was told that %s has ended", id)
		}
		return nil
	})
}

// wantOnce fails the test if the end of a task was told more than once.
func (e *exits) wantOnce(t *testing.T) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, n := range e.counts {
		if n > 2 || n > 1 && !e.excused[id] {
			t.Errorf("the end of %s was told %d times", id, n)
		}
	}
}
