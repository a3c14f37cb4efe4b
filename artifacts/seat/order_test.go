// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import "testing"

func TestOrderTellsWaitedReadsFromTheBackground(t *testing.T) {
	type read struct {
		off, n int64
		ahead  bool
	}
	for name, reads := range map[string][]read{
		"front to back":           {{0, 4, true}, {4, 4, true}, {8, 4, true}},
		"a page in the middle":    {{0, 4, true}, {100, 4, false}, {4, 4, true}},
		"over what was asked for": {{0, 4, true}, {4, 8, true}, {12, 4, true}, {20, 4, false}, {16, 4, true}, {24, 4, true}},
		"two waits in a row":      {{0, 4, true}, {8, 4, false}, {12, 4, false}, {4, 4, true}, {16, 4, true}},
		"a unit that is waited for": {
			{0, 4, true}, {waitUnit, waitUnit / 2, false}, {waitUnit + waitUnit/2, waitUnit / 2, false}, {4, waitUnit - 4, true}, {2 * waitUnit, 4, true},
		},
		"behind freed pages": {{0, 4, true}, {100, maxRun - 1, false}, {99 + maxRun, 1, true}, {100 + maxRun, 4, true}, {104 + maxRun, 4, true}},
	} {
		t.Run(name, func(t *testing.T) {
			var o order
			for i, r := range reads {
				if got := o.ahead(r.off, r.n); got != r.ahead {
					t.Fatalf("read %d, %d bytes at %d: ahead of need is %v, want %v", i, r.n, r.off, got, r.ahead)
				}
			}
		})
	}
}

func TestOrderForgetsRatherThanGrows(t *testing.T) {
	var o order
	for i := range int64(3 * maxBeyond) {
		o.ahead(8*(3*maxBeyond-i), 1)
		if len(o.beyond) > maxBeyond {
			t.Fatalf("%d reads are remembered", len(o.beyond))
		}
	}
}
