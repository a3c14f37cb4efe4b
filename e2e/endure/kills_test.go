// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package endure

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

const (
	// workers is how many sandboxes are tormented at the same time, each on a node
	// of its own.
	workers = 3
	// often is how often each kind of process is killed in each verb, in CI.
	often = 3
)

// TestNothingIsLostToKills kills a shim, a side-car, a gofer, a sandbox, what serves its
// files, a runsc command or containerd while a verb is under way, each that takes part in it.
// Whatever it was: a verb that was answered well has happened, one that was not has changed
// nothing, every snapshot that anybody can see is whole, those that were answered for are there,
// the end of a task is told once, and the node holds nothing that it would not hold without the
// kill. What is killed when is drawn from a seed, which the log tells.
func TestNothingIsLostToKills(t *testing.T) {
	kills := number(t, killsEnv, uint64(often*len(allDeals())))
	seed := number(t, seedEnv, uint64(time.Now().UnixNano()))
	t.Logf("%s=%d %s=%d makes the same choices again", seedEnv, seed, killsEnv, kills)
	list := deals(rand.New(rand.NewPCG(seed, workers)), int(kills))
	counts := newTally()
	if len(list) >= len(allDeals()) {
		t.Cleanup(func() { counts.report(t) }) // after all workers
	}
	for w := range workers {
		t.Run(fmt.Sprint(w), func(t *testing.T) {
			t.Parallel()
			v := newVictim(t, rand.New(rand.NewPCG(seed, uint64(w))), counts)
			v.rehearse(t)
			last := ""
			defer func() {
				if t.Failed() {
					t.Logf("the last round: %s; containerd's log:\n%s", last, v.node.LastLog())
				}
			}()
			for i := w; i < len(list) && !t.Failed(); i += workers {
				last = fmt.Sprint(i, ", ", list[i])
				v.round(t, list[i])
			}
			v.wantNothingLeft(t)
		})
	}
}
