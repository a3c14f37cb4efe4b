// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/anishathalye/porcupine"
	tasktypes "github.com/containerd/containerd/api/types/task"
)

// A lie is a wrong implementation of a verb, in terms of the right one.
type lie struct {
	name string
	verb verb
	in   weather
	tell func(ctx context.Context, r *recording, in invoked) (said, error)
}

// lies are what the model of histories is there to find.
func lies() []lie {
	fair := weather{"fair", false, false, returnSaved, 4, 7}
	killed := weather{"killed", false, true, returnSaved, 4, 7}
	var pauses, before atomic.Int64
	before.Store(int64(tasktypes.Status_RUNNING))
	saysSo := func(context.Context, *recording, invoked) (said, error) { return said{}, nil }
	return []lie{
		{"a Resume that only says so", verbResume, fair, saysSo},
		{"a Pause that only says so", verbPause, fair, saysSo},
		{"a Kill that only says so", verbKill, killed, saysSo},
		{"a Resume of an earlier moment", verbResume, fair, func(ctx context.Context, r *recording, in invoked) (said, error) {
			out, err := r.truth(ctx, in)
			if err == nil {
				r.f.add(-100) // more than all writes
			}
			return out, err
		}},
		{"a Pause that saves twice", verbPause, fair, func(ctx context.Context, r *recording, in invoked) (said, error) {
			out, err := r.truth(ctx, in)
			out.snapshot = fmt.Sprint(pauses.Add(1))
			return out, err
		}},
		{"a Commit of an earlier moment", verbCommit, fair, func(ctx context.Context, r *recording, in invoked) (said, error) {
			out, err := r.truth(ctx, in)
			out.memory.number -= 100
			return out, err
		}},
		{"a State of the time before", verbState, fair, func(ctx context.Context, r *recording, in invoked) (said, error) {
			out, err := r.truth(ctx, in)
			out.state = tasktypes.Status(before.Swap(int64(out.state)))
			return out, err
		}},
		{"a signal that is lost", verbSignal, fair, saysSo},
		{"a signal that comes twice", verbSignal, fair, func(ctx context.Context, r *recording, in invoked) (said, error) {
			_, _ = r.truth(ctx, in)
			return r.truth(ctx, in)
		}},
		{"an exec that only says so", verbStartExec, fair, func(_ context.Context, r *recording, in invoked) (said, error) {
			m, _ := r.f.add(0)
			m.number += in.add
			return said{memory: m}, nil
		}},
		{"an exec that runs twice", verbStartExec, fair, func(ctx context.Context, r *recording, in invoked) (said, error) {
			_, _ = r.truth(ctx, in)
			return r.truth(ctx, in)
		}},
		{"a Delete that only says so", verbDelete, killed, func(ctx context.Context, r *recording, in invoked) (said, error) {
			if r.sb.machine.state() == Stopped {
				return said{}, nil
			}
			return r.truth(ctx, in)
		}},
		{"a Delete of what runs", verbDelete, fair, saysSo},
		{"a write that is lost", verbWrite, fair, func(ctx context.Context, r *recording, in invoked) (said, error) {
			out, err := r.truth(ctx, in)
			if err == nil {
				r.f.add(-in.add)
			}
			return out, err
		}},
	}
}

// The model finds every lie: a check that cannot fail proves nothing. That one
// history hides a lie is chance; a check that needs many to find it would hardly find rarer ones.
func TestTheModelFindsLies(t *testing.T) {
	const histories = 20
	for _, l := range lies() {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			for i := range histories {
				r := newRecording(t)
				r.ask = func(ctx context.Context, in invoked) (said, error) {
					if in.verb == l.verb {
						return l.tell(ctx, r, in)
					}
					return r.truth(ctx, in)
				}
				l.in.record(t, rand.New(rand.NewPCG(1, uint64(i))), r)
				if porcupine.CheckOperationsTimeout(modelOf(l.in), r.ops, checkLimit) == porcupine.Illegal {
					t.Logf("found in history %d", i)
					return
				}
			}
			t.Errorf("none of %d histories shows it", histories)
		})
	}
}
