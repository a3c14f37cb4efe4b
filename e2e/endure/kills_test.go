// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package endure

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// workers is how many sandboxes are tormented at the same time, each on a node
// of its own.
const workers = 2

// TestNothingIsLostToKills kills a shim, a gofer, a sandbox, what serves its
// files, a runsc command or containerd while a verb is under way. Whatever it was: a
// verb that was answered well has happened, one that was not has changed nothing, and
// every snapshot that anybody can see is whole. The moments are drawn from a seed,
// which a failure tells.
func TestNothingIsLostToKills(t *testing.T) {
	kills := number(t, killsEnv, uint64(len(allDeals())))
	seed := number(t, seedEnv, uint64(time.Now().UnixNano()))
	list := deals(rand.New(rand.NewPCG(seed, workers)), int(kills))
	counts := newTally()
	if len(list) >= len(allDeals()) {
		t.Cleanup(func() { counts.report(t) }) // after all workers
	}
	for w := range workers {
		t.Run(fmt.Sprint(w), func(t *testing.T) {
			t.Parallel()
			v := newVictim(t, rand.New(rand.NewPCG(seed, uint64(w))), counts)
			for i := w; i < len(list); i += workers {
				v.round(t, list[i])
				if t.Failed() {
					t.Fatalf("after round %d; %s=%d %s=%d makes the same choices again", i, seedEnv, seed, killsEnv, kills)
				}
			}
			v.wantNothingLeft(t)
		})
	}
}
