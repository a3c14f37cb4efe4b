// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
	ateomv1 "github.com/ateom/ateom/proto/ateom/v1"
)

// A history is what several clients did to one sandbox at the same time, and
// what they were answered. The model below is a sandbox whose verbs happen at
// once, one after the other: porcupine looks for an order in which that gives
// the same answers. A byte that a pause loses, a snapshot of no moment, two
// verbs that interleave leave none.

// An invoked verb is an input of the model.
type invoked struct {
	verb verb
	// add is what is added to the number in the sandbox's memory (verbWrite).
	add int
}

// verbWrite is the program's own doing: it adds to a number in its memory, if
// it runs, and reads it.
const verbWrite verb = "write"

// A said is an output of the model.
type said struct {
	class string // "", "refused", "not found", "failed"
	// number was read, or is in the snapshot that was committed.
	number int
	// snapshot is what a Pause answered.
	snapshot string
	// state is the word of State.
	state tasktypes.Status
	// joined says that the call overlaps with an equal one that went well: they
	// may have been one operation.
	joined bool
	// waking says that the call, a State, overlaps with a Resume that went well: the
	// sandbox may be called paused until that is over, and its program may run.
	waking bool
}

// A world is a state of the model.
type world struct {
	state    State // Running, Paused, Stopped
	number   int
	snapshot string // that it is paused in
}

// step says whether the model in state w may answer in with out, and what it is
// then. What failed because a fault was injected, or the sandbox was killed
// under it, has changed nothing.
func step(w world, in invoked, out said) (bool, world) {
	if out.class == "failed" {
		// A frozen program writes nothing: a verb may be about to change the state.
		return in.verb != verbState && in.verb != verbKill, w
	}
	refusedIn := func(states ...State) bool {
		for _, s := range states {
			if w.state == s {
				return out.class == "refused"
			}
		}
		return false
	}
	ok := out.class == ""
	switch in.verb {
	case verbWrite:
		w.number += in.add
		return w.state == Running && ok && out.number == w.number, w
	case verbPause:
		switch {
		case w.state == Running && ok:
			return true, world{Paused, w.number, out.snapshot}
		case w.state == Paused && ok:
			return out.snapshot == w.snapshot, w
		}
		return refusedIn(Stopped), w
	case verbResume:
		if w.state == Paused && ok {
			return true, world{Running, w.number, ""}
		}
		if w.state == Running && ok {
			return out.joined, w
		}
		return refusedIn(Running, Stopped), w
	case verbCommit:
		if w.state != Stopped && ok {
			return out.number == w.number, w
		}
		return refusedIn(Stopped), w
	case verbKill:
		if w.state == Stopped {
			return out.class == "not found", w
		}
		return ok, world{state: Stopped}
	case verbState:
		switch out.state {
		case tasktypes.Status_RUNNING, tasktypes.Status_PAUSING:
			return w.state == Running, w
		case tasktypes.Status_PAUSED:
			return w.state == Paused || w.state == Running && out.waking, w
		default:
			return w.state == Stopped, w
		}
	}
	return false, w
}

// modelOf is the model of histories that are made in that weather.
func modelOf(w weather) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return world{state: Running, number: 1} },
		Step: func(state, input, output any) (bool, any) {
			in, out := input.(invoked), output.(said)
			if out.class == "failed" && in.verb != verbWrite && !w.faults && !w.kills {
				return false, state // of what?
			}
			if w.pauseReturn == returnFrozen {
				out.snapshot = "" // not known when a Pause is answered
			}
			return step(state.(world), in, out)
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v → %+v", input, output) },
	}
}

// A recording is a sandbox whose history is being made.
type recording struct {
	*bench
	f     *fakeRuntime
	clock atomic.Int64
	// ask makes a call: truth, but for the tests of the model.
	ask func(context.Context, invoked) (said, error)

	mu  sync.Mutex
	ops []porcupine.Operation
}

// do makes one call as a client and records it.
func (r *recording) do(ctx context.Context, client int, in invoked) {
	began := r.clock.Add(1)
	out, err := r.ask(ctx, in)
	switch {
	case err == nil:
	case errdefs.IsFailedPrecondition(err):
		out = said{class: "refused"}
	case errdefs.IsNotFound(err):
		out = said{class: "not found"}
	default:
		out = said{class: "failed"}
	}
	ended := r.clock.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = append(r.ops, porcupine.Operation{ClientId: client, Input: in, Call: began, Output: out, Return: ended})
}

var errAsleep = fmt.Errorf("it does not run: %w", errdefs.ErrUnavailable)

// truth makes a call and returns what is answered.
func (r *recording) truth(ctx context.Context, in invoked) (out said, err error) {
	switch in.verb {
	case verbWrite:
		n, ok := r.f.add(in.add)
		if !ok {
			return out, errAsleep
		}
		out.number = n
	case verbPause:
		resp, err := snapshots{r.Service}.Pause(ctx, &ateomv1.PauseRequest{Id: "box"})
		if err != nil {
			return out, err
		}
		out.snapshot = resp.GetSnapshot().GetId()
	case verbResume:
		_, err = r.Service.Resume(ctx, &taskapi.ResumeRequest{ID: "box"})
	case verbCommit:
		plan, err := r.sb.planCommit("", "", nil)
		if err != nil {
			return out, err
		}
		done, err := r.commit(ctx, r.sb, plan, func(*job.Event) {})
		if err != nil {
			return out, err
		}
		out.number = r.f.stored(done.manifest.ID)
	case verbKill:
		// A kill is over when the process has ended.
		if _, err := r.Kill(ctx, &taskapi.KillRequest{ID: "box", Signal: sigkill}); err != nil {
			return out, err
		}
		_, err = r.Wait(ctx, &taskapi.WaitRequest{ID: "box"})
	case verbState:
		resp, err := r.State(ctx, &taskapi.StateRequest{ID: "box"})
		if err != nil {
			return out, err
		}
		out.state = resp.GetStatus()
	}
	return out, err
}

// historiesEnv asks for more histories than a quick run makes.
const historiesEnv = "ATEOM_HISTORIES"

// A weather is what a history is made in.
type weather struct {
	name           string
	faults, kills  bool
	pauseReturn    string
	clients, calls int
}

func TestConcurrentVerbsHappenInSomeOrder(t *testing.T) {
	histories := 100
	if text := os.Getenv(historiesEnv); text != "" {
		var err error
		if histories, err = strconv.Atoi(text); err != nil {
			t.Fatalf("%s: %v", historiesEnv, err)
		}
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for _, w := range []weather{
		{"fair", false, false, returnSaved, 4, 7},
		{"faults", true, false, returnSaved, 4, 7},
		{"kills", true, true, returnSaved, 4, 7},
		{"frozen", false, false, returnFrozen, 4, 7},
		{"frozen and killed", false, true, returnFrozen, 4, 7},
	} {
		for i := range histories / 5 {
			t.Run(fmt.Sprintf("%s/%d", w.name, i), func(t *testing.T) {
				t.Parallel()
				w.check(t, rand.New(rand.NewPCG(seed, uint64(i))))
			})
		}
	}
}

// check makes a history and looks for an order that explains it.
func (w weather) check(t *testing.T, random *rand.Rand) {
	r := newRecording(t)
	w.record(t, random, r)
	model := modelOf(w)
	if result := porcupine.CheckOperationsTimeout(model, r.ops, checkLimit); result == porcupine.Illegal {
		for _, o := range r.ops {
			t.Logf("client %d, %d to %d: %s", o.ClientId, o.Call, o.Return, model.DescribeOperation(o.Input, o.Output))
		}
		t.Error("no order of these calls gives these answers")
	} else if result == porcupine.Unknown {
		t.Error("the history is too long to be checked")
	}
	if n := len(r.sb.verb); n != 0 {
		t.Error("a verb has kept its turn")
	}
	w.checkLeftovers(t, r)
}

// checkLimit bounds the search for an order, which takes some milliseconds.
const checkLimit = 30 * time.Second

func newRecording(t *testing.T) *recording {
	r := &recording{bench: newBench(t)}
	r.f, r.ask = r.withRuntime(t), r.truth
	return r
}

// record makes a history.
func (w weather) record(t *testing.T, random *rand.Rand, r *recording) {
	root, _ := r.runs(t, r.f)
	root.decl.pauseReturn = w.pauseReturn
	var dice sync.Mutex
	r.f.failing(func(call string) bool {
		dice.Lock()
		nap, fails := time.Duration(random.IntN(300))*time.Microsecond, random.IntN(8) == 0
		dice.Unlock()
		time.Sleep(nap)                              // to shuffle the calls; nothing is waited for
		return w.faults && fails && call != "delete" // runsc delete --force is tried twice
	})
	verbs := []verb{verbWrite, verbWrite, verbWrite, verbPause, verbPause, verbResume, verbResume, verbCommit, verbState, verbState}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	// All calls are drawn before the first is made, under dice: the fake draws too.
	calls := make([][]invoked, w.clients)
	dice.Lock()
	for client := range calls {
		for range w.calls {
			calls[client] = append(calls[client], invoked{verbs[random.IntN(len(verbs))], 1 + random.IntN(9)})
		}
		if w.kills && client == 0 {
			calls[client] = append(calls[client][:random.IntN(w.calls)], invoked{verb: verbKill}, invoked{verb: verbState}, invoked{verb: verbPause})
		}
	}
	dice.Unlock()
	var clients sync.WaitGroup
	for client := range calls {
		clients.Go(func() {
			for _, c := range calls[client] {
				r.do(ctx, client, c)
			}
		})
	}
	clients.Wait()
	if pause := r.sb.pauses.underWay(); pause != nil {
		<-pause.ended
	}
	noteResumes(r.ops)
}

// noteResumes marks the Resumes that may have shared an operation, and the States
// that were asked during one.
func noteResumes(ops []porcupine.Operation) {
	for i, a := range ops {
		in, out := a.Input.(invoked), a.Output.(said)
		for j, b := range ops {
			if i == j || a.Call > b.Return || b.Call > a.Return || b.Input.(invoked).verb != verbResume || b.Output.(said).class != "" {
				continue
			}
			out.joined = out.joined || in.verb == verbResume && out.class == ""
			out.waking = out.waking || in.verb == verbState
		}
		ops[i].Output = out
	}
}

// checkLeftovers looks for what no verb may leave: drafts, and snapshots of
// nothing.
func (w weather) checkLeftovers(t *testing.T, r *recording) {
	t.Helper()
	drafts, err := os.ReadDir(filepath.Join(r.sb.cfg.StateDir, "drafts"))
	if err != nil || len(drafts) > 0 {
		t.Errorf("drafts left: %v, %v", drafts, err)
	}
	snaps, err := r.sb.local.List()
	if err != nil || len(snaps) > 1 {
		t.Errorf("%d snapshots are left, want the one that the sandbox sleeps in at most: %v", len(snaps), err)
	}
}

// stored is the number in a committed snapshot.
func (f *fakeRuntime) stored(id artifacts.ID) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.store[id]
}
