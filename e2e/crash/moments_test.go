// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/client"

	"github.com/ateom/ateom/e2e/bench/lab"
	"github.com/ateom/ateom/e2e/harness"
)

// A moment is one in the life of a sandbox at which something dies. The process that
// the verb under way waits for is stopped, so that the moment lasts.
type moment struct {
	name string
	// from is the task's state when the verb begins.
	from client.ProcessStatus
	// program and verb are the command that is under way; without one the moment lasts by itself.
	program string
	verb    []string
	// stopped is the beginning of the command line of the process that is stopped, and
	// when a pattern below the state directory of what must be there first.
	stopped, when string
	// state is what containerd is told meanwhile, and word what ateom calls it.
	state client.ProcessStatus
	word  string
	// after is the state when the verb is over.
	after client.ProcessStatus
}

const (
	ours  = "ctr-ateom"
	stock = "ctr"

	sideCar = "runsc-checkpointgofer"
	jobs    = "ateom-gofer job"
	// uploads are the packs of the store that the moments commit to.
	uploads = "../bucket/packs/*/*"
)

var (
	pause, resume = []string{"tasks", "pause"}, []string{"tasks", "resume"}
	commits       = []string{"tasks", "commit", "--scope", "Full", "--store"}
	volumesOnly   = []string{"tasks", "commit", "--scope", "Data", "--store"}

	moments = []moment{
		{name: "created", from: client.Created, state: client.Created, word: "created", after: client.Created},
		{name: "running", from: client.Running, state: client.Running, word: "running", after: client.Running},
		{name: "pausing", from: client.Running, program: ours, verb: pause, stopped: sideCar, state: client.Pausing, word: "pausing", after: client.Paused},
		{name: "paused", from: client.Paused, state: client.Paused, word: "paused", after: client.Paused},
		{name: "committing", from: client.Running, program: ours, verb: commits, stopped: sideCar, state: client.Running, word: "committing", after: client.Running},
		{name: "opening a store for volumes", from: client.Running, program: ours, verb: volumesOnly, stopped: jobs, state: client.Running, word: "running", after: client.Running},
		{name: "opening a store while paused", from: client.Paused, program: ours, verb: commits, stopped: jobs, state: client.Paused, word: "paused", after: client.Paused},
		{name: "uploading", from: client.Running, program: ours, verb: commits, stopped: jobs, when: uploads, state: client.Running, word: "running", after: client.Running},
		{name: "uploading while paused", from: client.Paused, program: ours, verb: commits, stopped: jobs, when: uploads, state: client.Paused, word: "paused", after: client.Paused},
		{name: "resuming", from: client.Paused, program: ours, verb: resume, stopped: sideCar, state: client.Paused, word: "resuming", after: client.Running},
		{name: "stopped", from: client.Stopped, state: client.Stopped, word: "stopped", after: client.Stopped},
	}

	// relayed are moments of verbs that containerd has been asked for: they are
	// given up with it.
	relayed = []moment{
		{name: "pausing through containerd", from: client.Running, program: stock, verb: pause, stopped: sideCar, state: client.Running, word: "running", after: client.Running},
		{name: "resuming through containerd", from: client.Paused, program: stock, verb: resume, stopped: sideCar, state: client.Paused, word: "paused", after: client.Paused},
	}
)

// What a service holds, in MiB: an upload is to last for more than a moment.
const small, large = 8, 64

// begin brings a service to where the moment's verb begins. While it runs, save is called.
func (m moment) begin(t *testing.T, c harness.Config, save func(*harness.Service)) (*harness.Service, harness.Container) {
	t.Helper()
	size := small
	if m.when != "" {
		size = large
	}
	if m.from == client.Created {
		n, spec := newNode(t, c, size)
		task := n.Create(t, spec)
		must(t, task.Make(t, spec))
		return n.Serve(task, spec.Network), spec
	}
	s, spec := startOn(t, c, size)
	save(s)
	switch m.from {
	case client.Paused:
		sleep(t, s)
	case client.Stopped:
		r := harness.Record(t, s.Node)
		if code := s.KillAndWait(t, syscall.SIGKILL); code != 137 {
			t.Errorf("exit code %d, want 137", code)
		}
		r.Until(t, s.ID, "exit") // whoever listens from here on has missed it
	}
	return s, spec
}

// nothing saves nothing.
func nothing(*harness.Service) {}

// start runs a service with memory of every kind on a node of its own.
func start(t *testing.T) (*harness.Service, harness.Container) {
	t.Helper()
	return startOn(t, harness.Config{}, large)
}

// startOn is start on a node of another configuration, and of so much memory.
func startOn(t *testing.T, c harness.Config, mib int) (*harness.Service, harness.Container) {
	t.Helper()
	n, spec := newNode(t, c, mib)
	return n.RunService(t, spec), spec
}

func newNode(t *testing.T, c harness.Config, mib int) (*harness.Node, harness.Container) {
	t.Helper()
	return harness.NewNode(t, c), harness.ServiceContainer(harness.NewNetwork(t), mib, map[string]string{
		"ateom.dev/durable-dirs": `[{"name":"home","mountPath":"/home/agent"}]`,
	}, "/home/agent")
}

// bucket is the store that moments commit to.
func bucket(n *harness.Node) string { return "file://" + filepath.Join(n.Dir, "bucket") }

// sleep pauses the service and returns the snapshot's id.
func sleep(t *testing.T, s *harness.Service) string {
	t.Helper()
	return snapshotOf(t, s.Node.Ateom(t, "tasks", "pause", "--json", s.ID))
}

// beginSaved is begin, and a snapshot of the service that whatever dies next must leave
// whole, and its store: the one that it sleeps in, or one that it has committed. A service that has
// not run has none.
func (m moment) beginSaved(t *testing.T, c harness.Config) (s *harness.Service, spec harness.Container, id, store string) {
	t.Helper()
	s, spec = m.begin(t, c, func(s *harness.Service) {
		if m.from != client.Paused {
			id, store = snapshotOf(t, s.Node.Ateom(t, "tasks", "commit", "--json", "--scope", "Full", s.ID)), "dir"
		}
	})
	if m.from == client.Paused {
		id, store = strings.TrimSpace(s.Node.Ateom(t, "snapshots", "ls", "--quiet", "--store", "local")), "local"
	}
	return s, spec, id, store
}

func snapshotOf(t *testing.T, answer string) string {
	t.Helper()
	var a struct{ Snapshot struct{ ID string } }
	if err := json.Unmarshal([]byte(answer), &a); err != nil || a.Snapshot.ID == "" {
		t.Fatalf("no snapshot in %q: %v", answer, err)
	}
	return a.Snapshot.ID
}

// reach begins the moment's verb and returns when what it waits for is stopped, and
// stays so until release. ended tells how the command went.
func (m moment) reach(t *testing.T, s *harness.Service) (release func(), ended <-chan harness.Result) {
	t.Helper()
	done := make(chan harness.Result, 1)
	if m.program == "" {
		done <- harness.Result{}
		return func() {}, done
	}
	args := m.verb
	if args[1] == "commit" {
		args = append(args[:len(args):len(args)], bucket(s.Node))
	}
	go func() {
		done <- s.Node.Do(t, harness.Command{Program: m.program, Args: append(args[:len(args):len(args)], s.ID)})
	}()
	_, release = halt(t, s.Node, m.stopped, m.when)
	harness.Eventually(t, func() error {
		if got := s.SandboxState(t); m.program == ours && got != m.word {
			return fmt.Errorf("the sandbox is %s, want %s", got, m.word)
		}
		return nil
	})
	return release, done
}

// owned are the node's processes whose command line has the pattern.
func owned(t *testing.T, n *harness.Node, pattern string) []int {
	t.Helper()
	return slices.DeleteFunc(harness.Find(t, func(args string) bool { return strings.Contains(args, pattern) }),
		func(pid int) bool { return !n.Owns(pid) })
}

// halt stops the processes whose command line has the pattern as soon as there is one, and a
// path that matches when below the state directory; release lets them go on.
func halt(t *testing.T, n *harness.Node, pattern, when string) (pids []int, release func()) {
	t.Helper()
	harness.Eventually(t, func() error {
		if found, err := filepath.Glob(filepath.Join(n.Config.StateDir, when)); err != nil || len(found) == 0 {
			return fmt.Errorf("no %s: %v", when, err)
		}
		if pids, release = stopped(t, n, pattern); len(pids) == 0 {
			return fmt.Errorf("no %s runs", pattern)
		}
		return nil
	})
	return pids, release
}

// stopped stops the processes whose command line has the pattern; release lets them go on.
func stopped(t *testing.T, n *harness.Node, pattern string) (pids []int, release func()) {
	t.Helper()
	for _, pid := range owned(t, n, pattern) {
		if syscall.Kill(pid, syscall.SIGSTOP) == nil {
			pids = append(pids, pid)
		}
	}
	release = func() {
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGCONT) // it may have been killed
		}
	}
	if len(pids) > 0 {
		t.Cleanup(release)
	}
	return pids, release
}

// wantGoesOn fails the test unless the service is the one that said last, with its
// DurableDir, and takes part in life.
func wantGoesOn(t *testing.T, s *harness.Service, last lab.State) {
	t.Helper()
	s.WantSame(t, last)
	s.AwaitNumbers(t)
	if got := s.Node.Ctr(t, "tasks", "exec", "--exec-id", harness.NewID(t), s.ID, "cat", "/home/agent/nonce"); got != last.Nonce {
		t.Errorf("the DurableDir holds %q, want %q", got, last.Nonce)
	}
}

// wantWhole fails the test unless every snapshot that can be seen is whole.
func wantWhole(t *testing.T, n *harness.Node) {
	t.Helper()
	for _, store := range []string{"local", "dir", bucket(n)} {
		n.Ateom(t, "snapshots", "verify", "--deep", "--store", store)
	}
}

// count says how often a word is in a list.
func count(words []string, word string) (n int) {
	for _, w := range words {
		if w == word {
			n++
		}
	}
	return n
}
