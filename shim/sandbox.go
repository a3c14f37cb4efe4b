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
	limits      string // the cgroup in which kills for want of memory are counted
	ownsCgroup  bool   // it was not there before, and ends with the sandbox
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
	// volumesHold is on volumesDir; nil where there is none. Guarded by verb.
	volumesHold *volumes.Hold
	// removals are on their way behind answers; see outlive.
	removals *sync.WaitGroup

	// build is the build of runsc that made the sandbox's processes; see madeBy.
	// Guarded by verb.
	build runsc.Identity
	// cameBack says that the sandbox's memory was restored. Guarded by verb.
	cameBack bool
	// reload reads the node's configuration as it is now; nil if it cannot change.
	reload func() (*config.Config, error)

	machine *machine
	verb    chan struct{} // holds one token while a verb is under way
	pauses  flights[*pauseOutcome]
	resumes flights[*stopwatch]
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
	// oomKills is what the next life begins with.
	oomKills uint64
	// interrupt ends the verb under way, which something wins over; overruled ends then.
	interrupt context.CancelCauseFunc
	overruled context.Context
	// overruling are the causes of what wins over every verb and is under way.
	overruling []error
	// behind ends the save of a pause that was answered already; nil if there is none.
	behind context.CancelCauseFunc
	// volumes are the DurableDirs by name.
	volumes map[string]job.Volume
	// origin is where the sandbox starts from, if not from its image.
	origin *origin
	// handing is closed when the hand-over that is under way has ended; see handOver.
	handing chan struct{}
	// completed are the names of the containers that have ended well and that
	// nobody has started again.
	completed map[string]bool
	// paused is what a paused sandbox is resumed from.
	paused *local.Snapshot
	// incomplete names a container that was killed while the sandbox was paused with
	// its memory: that holds one that nobody has any more. Guarded by verb.
	incomplete string
	// restore is the stopwatch of the Restore under way; nil if there is none. Guarded by verb.
	restore *stopwatch
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
	// oomKills is what the kernel had counted in the sandbox's cgroup before: a
	// pod's outlives its sandboxes.
	oomKills uint64
	// stuck is why it was not thawed; guarded by the sandbox's mu.
	stuck error
}

// newSandbox prepares the sandbox whose root container is id. What goes on behind its
// verbs' answers is one of removals.
func newSandbox(namespace, id string, cfg *config.Config, removals *sync.WaitGroup) (*sandbox, error) {
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

		removals:   removals,
		scratch:    rundir.Sandbox(cfg.RunDir, namespace, id),
		volumesDir: volumes.Dir(cfg.StateDir, namespace, id),
	}
	s.machine = newMachine(s.noteState)
	s.there, s.gone = context.WithCancel(context.Background())
	s.runsc = &runsc.Runsc{
		Binary: binary,
		Root:   rundir.Runsc(cfg.RunDir, namespace, id),
		Flags:  cfg.Flags(),
		Log:    filepath.Join(s.scratch, "runsc.log"),
		// Not --debug-log: a program can make the sentry write there without an end.
		PanicLog: filepath.Join(s.scratch, "panic.log"),
		Starter:  s.starter,
	}
	s.control = s.runsc.Control(id)
	if s.local, err = local.Open(cfg.StateDir); err != nil {
		return nil, err
	}
	s.sweepNode()
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

// newLife starts a new life with the given sandbox process; an older one ends.
func (s *sandbox) newLife(pid int) *life {
	ctx, cancel := context.WithCancel(context.Background())
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &life{ctx: ctx, end: cancel, pid: pid, oomKills: s.oomKills}
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
