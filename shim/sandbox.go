// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/artifacts/local"
	ateomv1 "github.com/ateom/ateom/proto/ateom/v1"
	"github.com/ateom/ateom/runsc"
	"github.com/ateom/ateom/shim/config"
	"github.com/ateom/ateom/shim/inside"
	"github.com/ateom/ateom/shim/network"
	"github.com/ateom/ateom/shim/pod"
	"github.com/ateom/ateom/shim/reap"
	"github.com/ateom/ateom/shim/roster"
	"github.com/ateom/ateom/shim/rundir"
	"github.com/ateom/ateom/shim/sweep"
	"github.com/ateom/ateom/shim/volumes"
)

// A sandbox is one gVisor kernel and the containers in it.
//
// Locks: verb serialises what changes the sandbox as a whole and may be held
// for seconds; mu guards the fields below it and is never held across a call
// to another process. Readers of the state take neither.
type sandbox struct {
	id        string // its root container's
	namespace string
	cfg       *config.Config
	runsc     *runsc.Runsc
	control   *runsc.Control
	fit       fit
	local     *local.Store
	netns     string // path; "" if it is the host's
	network   *network.State
	// connections is what a Pause does to those that are established.
	connections network.Connections
	cgroup      string // the root container's, which the sandbox's process is in
	cri         bool
	pod         pod.Identity
	// emptyDirs are those of the pod's volumes that live in the sandbox.
	emptyDirs []pod.EmptyDir
	// ledger is what the node remembers of the pod; nil outside of Kubernetes.
	ledger *pod.Ledger
	// inside is what its programs are told; nil if they want to know nothing.
	inside   *inside.Dir
	stopSelf func() // ends the service of their requests; nil if none is allowed
	// scratch holds volatile files, removed with the sandbox.
	scratch string
	// volumesDir holds the DurableDirs that the shim provides.
	volumesDir string

	// build is the build of runsc that made the sandbox's processes; see madeBy.
	// Guarded by verb.
	build runsc.Identity
	// reload reads the node's configuration as it is now; nil if it cannot change.
	reload func() (*config.Config, error)

	machine *machine
	verb    chan struct{} // holds one token while a verb is under way
	pauses  flights[*pauseOutcome]
	resumes flights[[]*ateomv1.Phase]
	// starter starts runsc and the gofer.
	starter runsc.Starter
	// there ends when the sandbox is deleted; work is what goes on outside of any
	// turn and ends with it.
	there context.Context
	gone  context.CancelFunc
	work  sync.WaitGroup

	mu         sync.Mutex
	containers []*container // in the order of creation; the root one first
	life       *life
	// interrupt ends the verb under way.
	interrupt context.CancelCauseFunc
	// overruling are the causes of what wins over every verb and is under way.
	overruling []error
	// behind ends the save of a pause that was answered already; nil if there is none.
	behind context.CancelCauseFunc
	// volumes are the DurableDirs by name.
	volumes map[string]job.Volume
	// origin is where the sandbox starts from, if not from its image.
	origin *origin
	// completed are the names of the containers that have ended well and that
	// nobody has started again.
	completed map[string]bool
	// paused is what a paused sandbox is resumed from.
	paused *local.Snapshot
	// incomplete names a container that was killed while the sandbox was paused:
	// the image holds one that nobody has any more. Guarded by verb.
	incomplete string
	// listener is who listens in a pod's network namespace; see ports.go.
	listener interface{ Close() }
	// inUse counts who reads a local snapshot; a snapshot in doomed is removed
	// when nobody does.
	inUse  map[artifacts.ID]int
	doomed map[artifacts.ID]bool
	// parents are the last snapshots of this lineage in each store, by URL.
	parents map[string]artifacts.ID
	// reports are the last verbs that ended, one of a kind, the latest first.
	reports  []*ateomv1.VerbReport
	progress *ateomv1.Progress // of the verb under way

	noting sync.Mutex // held while the roster is written
	// place is the sandbox's on the node's roster, noted the state that stands there.
	place *roster.Place
	noted State
}

// A life is one run of the sandbox's processes, from create or resume to
// pause or end. Whoever watches them stops when it is over.
type life struct {
	ctx context.Context
	end context.CancelFunc
	pid int // of the sandbox process
}

// newSandbox prepares the sandbox whose root container is id.
func newSandbox(namespace, id string, cfg *config.Config) (*sandbox, error) {
	binary, err := cfg.RunscPath()
	if err != nil {
		return nil, err
	}
	s := &sandbox{
		id:        id,
		namespace: namespace,
		cfg:       cfg,
		verb:      make(chan struct{}, 1),
		starter:   reap.Starter{},
		volumes:   map[string]job.Volume{},
		completed: map[string]bool{},
		inUse:     map[artifacts.ID]int{},
		doomed:    map[artifacts.ID]bool{},
		parents:   map[string]artifacts.ID{},

		scratch:    roster.Dir(cfg.RunDir, namespace, id),
		volumesDir: volumes.Dir(cfg.StateDir, namespace, id),
	}
	s.machine = newMachine(s.noteState)
	s.there, s.gone = context.WithCancel(context.Background())
	s.runsc = &runsc.Runsc{
		Binary:  binary,
		Root:    rundir.Runsc(cfg.RunDir, namespace, id),
		Flags:   cfg.Flags(),
		Log:     filepath.Join(s.scratch, "runsc.log"),
		Starter: s.starter,
	}
	s.control = s.runsc.Control(id)
	if s.local, err = local.Open(cfg.StateDir); err != nil {
		return nil, err
	}
	sweepNode(cfg, s.local)
	// From here on nobody sweeps what is this sandbox's.
	if s.place, err = roster.Take(s.scratch); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(s.runsc.Root, 0o700); err != nil {
		return nil, errors.Join(fmt.Errorf("make state directory: %w", err), s.place.Leave())
	}
	s.noteState()
	return s, nil
}

// sweepNode removes what other shims have left when they died. What is in use stays.
func sweepNode(cfg *config.Config, store *local.Store) {
	drafts, err := store.Sweep(local.DeleteLeftovers)
	rest, restErr := sweep.IfDue(cfg)
	if err = errors.Join(err, restErr); err != nil {
		log.L.WithError(err).Warn("sweep the node")
	}
	if len(drafts)+len(rest) > 0 {
		log.L.WithField("drafts", drafts).WithField("leftovers", rest).Info("removed what a crash had left")
	}
}

// Why a verb ends that something wins over.
var (
	// errKilled: the sandbox's process is being killed.
	errKilled = errors.New("sandbox was killed")
	// errMemberKilled: one of its containers is; the others run on.
	errMemberKilled = errors.New("a container of the sandbox was killed")
)

// begin waits until no other verb is under way, and refuses v where rules
// does. The returned context ends with ctx or when the sandbox is killed; end
// must be called.
func (s *sandbox) begin(ctx context.Context, v verb) (verbCtx context.Context, end func(), err error) {
	if err := s.check(v); err != nil {
		return ctx, nil, err
	}
	verbCtx, end, err = s.take(ctx)
	if err != nil {
		return ctx, nil, err
	}
	// The verb that was under way may have left another state, or ended because
	// of what waits behind this one and wins.
	if err = s.check(v); err == nil {
		if cause := s.overruledBy(); cause != nil {
			err = fmt.Errorf("%s %s: %w", v, s.id, cause)
		}
	}
	if err != nil {
		end()
		return ctx, nil, err
	}
	return verbCtx, end, nil
}

// take is begin for what wins in every state.
func (s *sandbox) take(ctx context.Context) (verbCtx context.Context, end func(), err error) {
	select {
	case s.verb <- struct{}{}:
	case <-ctx.Done():
		return ctx, nil, fmt.Errorf("wait for the verb under way (sandbox is %s): %w", s.machine.state(), ctx.Err())
	}
	verbCtx, cancel := context.WithCancelCause(ctx)
	s.mu.Lock()
	s.interrupt = cancel
	s.mu.Unlock()
	rouse()
	return verbCtx, func() {
		s.mu.Lock()
		s.interrupt = nil
		s.mu.Unlock()
		cancel(nil)
		if s.machine.state() == Paused {
			rest()
		}
		<-s.verb
		s.deliverKept()
	}, nil
}

// overrule ends the verb under way because c is killed, and those that wait for
// their turn as soon as they have it, until done is called.
func (s *sandbox) overrule(c *container) (done func()) {
	cause := errMemberKilled
	if c.isRoot(s) {
		cause = errKilled
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.overruling = append(s.overruling, cause)
	if s.interrupt != nil {
		s.interrupt(cause)
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		i := slices.Index(s.overruling, cause)
		s.overruling = slices.Delete(s.overruling, i, i+1)
	}
}

// overruledBy is why no verb may begin, or nil.
func (s *sandbox) overruledBy() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.overruling) == 0 {
		return nil
	}
	return s.overruling[0]
}

// setBehind notes how to end a save that goes on behind its answer; nil when
// none does any more.
func (s *sandbox) setBehind(cut context.CancelCauseFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behind = cut
}

// cutBehind ends a save that goes on behind its answer, if there is one.
func (s *sandbox) cutBehind(cause error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.behind == nil {
		return false
	}
	s.behind(cause)
	return true
}

// isBehind says whether a pause was answered whose save goes on.
func (s *sandbox) isBehind() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.behind != nil
}

// begun is for work outside of any turn: its context ends with ctx, or when the
// sandbox is deleted. done must be called when nothing of it is left.
func (s *sandbox) begun(ctx context.Context) (workCtx context.Context, done func()) {
	s.work.Add(1)
	workCtx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.there, func() { cancel(errKilled) })
	return workCtx, func() {
		stop()
		cancel(nil)
		s.work.Done()
	}
}

// endWork ends what goes on outside of any turn, and waits for it.
func (s *sandbox) endWork(ctx context.Context) {
	s.gone()
	ended := make(chan struct{})
	go func() {
		s.work.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		log.G(ctx).Warn("work of a sandbox that is deleted does not end")
	}
}

// newLife starts a new life with the given sandbox process; an older one ends.
func (s *sandbox) newLife(pid int) *life {
	ctx, cancel := context.WithCancel(context.Background())
	l := &life{ctx: ctx, end: cancel, pid: pid}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life != nil {
		s.life.end()
	}
	s.life = l
	return l
}

// endLife makes all watchers stop without reporting anything.
func (s *sandbox) endLife() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life != nil {
		s.life.end()
		s.life = nil
	}
}

func (s *sandbox) currentLife() *life {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.life
}

// container returns a container by its id, or errdefs.ErrNotFound.
func (s *sandbox) container(id string) (*container, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.containers {
		if c.id == id {
			return c, nil
		}
	}
	return nil, fmt.Errorf("container %s is not in sandbox %s: %w", id, s.id, errdefs.ErrNotFound)
}

// all returns the containers, the root one first.
func (s *sandbox) all() []*container {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.containers)
}

// live returns the containers that were started and have not ended.
func (s *sandbox) live() []*container {
	return slices.DeleteFunc(s.all(), func(c *container) bool { return !c.init.isStarted() || c.init.hasExited() })
}

func (s *sandbox) add(c *container) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.containers = append(s.containers, c)
}

// remove forgets the container and says how many are left.
func (s *sandbox) remove(c *container) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.containers = slices.DeleteFunc(s.containers, func(other *container) bool { return other == c })
	return len(s.containers)
}

// use keeps a local snapshot from being removed until the returned function is called.
func (s *sandbox) use(id artifacts.ID) (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inUse[id]++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		s.inUse[id]--
		remove := s.inUse[id] == 0 && s.doomed[id]
		s.mu.Unlock()
		if remove {
			s.discard(id)
		}
	})
}

// discard removes a local snapshot as soon as nobody uses it. Failing to is
// not worth failing a verb for: garbage collection finds it.
func (s *sandbox) discard(id artifacts.ID) {
	s.mu.Lock()
	busy := s.inUse[id] > 0
	s.doomed[id] = busy
	s.mu.Unlock()
	if !busy {
		_ = s.local.Remove(id)
	}
}
