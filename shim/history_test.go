// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"encoding/json"
	"errors"
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
	"github.com/containerd/errdefs"
	"github.com/containerd/ttrpc"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/ateom/ateom/artifacts"
	ateomv1 "github.com/ateom/ateom/proto/ateom/v1"
)

// A recording is a sandbox whose history is being made.
type recording struct {
	*bench
	f     *fakeRuntime
	clock atomic.Int64
	execs atomic.Int64
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
		m, ok := r.f.add(in.add)
		if !ok {
			return out, errAsleep
		}
		out.memory = m
	case verbPause:
		resp, err := snapshots{r.Service}.Pause(ctx, &ateomv1.PauseRequest{Id: "box"})
		if err != nil {
			return out, err
		}
		out.snapshot = resp.GetSnapshot().GetId()
	case verbResume:
		_, err = r.Service.Resume(ctx, &taskapi.ResumeRequest{ID: "box"})
	case verbCommit:
		var done committed
		if err := (snapshots{r.Service}).Commit(ctx, &ateomv1.CommitRequest{Id: "box"}, &done); err != nil {
			return out, err
		}
		out.memory = r.f.stored(done.id)
	case verbSignal:
		_, err = r.Kill(ctx, &taskapi.KillRequest{ID: "box", Signal: sigterm})
	case verbStartExec:
		out.memory, err = r.execute(ctx, in.add)
	case verbKill:
		// A kill is over when the process has ended.
		if _, err := r.Kill(ctx, &taskapi.KillRequest{ID: "box", Signal: sigkill}); err != nil {
			return out, err
		}
		if _, err = r.Wait(ctx, &taskapi.WaitRequest{ID: "box"}); errdefs.IsNotFound(err) {
			err = nil // it has ended, and was deleted
		}
	case verbDelete:
		if _, err := r.Delete(ctx, &taskapi.DeleteRequest{ID: "box"}); err != nil {
			return out, err
		}
		_, err = r.Delete(ctx, &taskapi.DeleteRequest{ID: "other"}) // it has ended with the first
	case verbState:
		resp, err := r.State(ctx, &taskapi.StateRequest{ID: "box"})
		if err != nil {
			return out, err
		}
		out.state = resp.GetStatus()
	}
	return out, err
}

// execute has a process in the sandbox add to the number.
func (r *recording) execute(ctx context.Context, n int) (m memory, err error) {
	id := fmt.Sprintf("e%d", r.execs.Add(1))
	spec, err := json.Marshal(&specs.Process{Args: []string{"add", strconv.Itoa(n), id}})
	if err != nil {
		return m, err
	}
	if _, err := r.Exec(ctx, &taskapi.ExecProcessRequest{ID: "box", ExecID: id, Spec: &anypb.Any{Value: spec}}); err != nil {
		return m, err
	}
	if _, err := r.Start(ctx, &taskapi.StartRequest{ID: "box", ExecID: id}); err != nil {
		return m, err
	}
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	return r.f.told[id], nil
}

// committed hears which snapshot a Commit has made.
type committed struct {
	ttrpc.StreamServer
	id artifacts.ID
}

func (c *committed) Send(e *ateomv1.CommitEvent) error {
	c.id = artifacts.ID(e.GetDone().GetSnapshot().GetId())
	return nil
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
	r := &recording{bench: newBenchIn(t, inMemory())}
	r.f, r.ask = r.withRuntime(t), r.truth
	return r
}

// inMemory is a directory without a disk, if there is one: a history is about the
// order of verbs, and most of its time would be fsync's.
func inMemory() string {
	const shm = "/dev/shm"
	if unix.Access(shm, unix.W_OK) != nil {
		return ""
	}
	return shm
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
	verbs := []verb{
		verbWrite, verbWrite, verbWrite, verbPause, verbPause, verbResume, verbResume, verbCommit, verbState, verbState,
		verbSignal, verbSignal, verbStartExec, verbDelete,
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	// All calls are drawn before the first is made, under dice: the fake draws too.
	calls := make([][]invoked, w.clients)
	dice.Lock()
	for client := range calls {
		for range w.calls {
			calls[client] = append(calls[client], invoked{verb: verbs[random.IntN(len(verbs))], add: 1 + random.IntN(9)})
		}
		if w.kills && client == 0 {
			calls[client] = append(calls[client][:random.IntN(w.calls)], invoked{verb: verbKill}, invoked{verb: verbState}, invoked{verb: verbPause},
				invoked{verb: verbDelete}, invoked{verb: verbState})
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
	r.f.failing(func(string) bool { return false })
	// All that was kept for the moment when the sandbox runs has come by then.
	if r.do(ctx, 0, invoked{verb: verbResume}); r.sb.machine.state() == Running {
		r.do(ctx, 0, invoked{verb: verbWrite, isLast: true})
	}
	noteOverlaps(r.ops)
}

// noteOverlaps marks calls whose answers depend on others that were under way:
// see said.
func noteOverlaps(ops []porcupine.Operation) {
	for i, a := range ops {
		in, out := a.Input.(invoked), a.Output.(said)
		for j, b := range ops {
			if i == j || a.Call > b.Return || b.Call > a.Return || b.Output.(said).class != "" {
				continue
			}
			switch b.Input.(invoked).verb {
			case verbResume:
				out.joined = out.joined || in.verb == verbResume && out.class == ""
				out.waking = out.waking || in.verb == verbState
			case verbKill:
				out.dying = out.dying || in.verb == verbSignal
			}
		}
		ops[i].Output = out
	}
}

// checkLeftovers looks for what no verb may leave: drafts, snapshots of nothing,
// exec'd processes of a sandbox that has ended, anything of one that was deleted.
func (w weather) checkLeftovers(t *testing.T, r *recording) {
	t.Helper()
	drafts, err := os.ReadDir(filepath.Join(r.sb.cfg.StateDir, "drafts"))
	if err != nil || len(drafts) > 0 {
		t.Errorf("drafts left: %v, %v", drafts, err)
	}
	root, err := r.sb.container("box")
	isDeleted, most := errdefs.IsNotFound(err), 1
	if isDeleted {
		most = 0
		for _, dir := range []string{r.sb.scratch, r.sb.volumesDir} {
			if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the sandbox was deleted and left %s: %v", dir, err)
			}
		}
	} else if live := root.liveExecs(); r.sb.machine.state() == Stopped && len(live) > 0 {
		t.Errorf("%d exec'd processes have outlived their sandbox", len(live))
	}
	snaps, err := r.sb.local.List()
	if err != nil || len(snaps) > most {
		t.Errorf("%d snapshots are left, want the one that the sandbox sleeps in at most, and none if it was deleted: %v", len(snaps), err)
	}
}

// stored is what a snapshot holds that was committed.
func (f *fakeRuntime) stored(id artifacts.ID) memory {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.store[id]
}
