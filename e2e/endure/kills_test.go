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

// TestNothingIsLostToKills kills a shim, a gofer, a sandbox, a runsc command or
// containerd while a verb is under way. Whatever it was: a verb that was
// answered well has happened, one that was not has changed nothing, and every
// snapshot that anybody can see is whole. The moments are drawn from a seed,
// which a failure tells.
func TestNothingIsLostToKills(t *testing.T) {
	kills := number(t, killsEnv, 30)
	seed := number(t, seedEnv, uint64(time.Now().UnixNano()))
	for w := range uint64(workers) {
		t.Run(fmt.Sprint(w), func(t *testing.T) {
			t.Parallel()
			v := newVictim(t, rand.New(rand.NewPCG(seed, w)))
			for i := range kills / workers {
				v.round(t)
				if t.Failed() {
					t.Fatalf("after kill %d; %s=%d %s=%d makes the same choices again", i+1, seedEnv, seed, killsEnv, kills)
				}
			}
			v.report(t)
		})
	}
}
