// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"encoding/json"
	"fmt"
	"path/filepath"
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
	// asleep says that the sandbox is paused when the verb begins.
	asleep bool
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
	commits = []string{"tasks", "commit", "--scope", "Full", "--store"}

	moments = []moment{
		{name: "running", state: client.Running, word: "running", after: client.Running},
		{name: "pausing", program: ours, verb: []string{"tasks", "pause"}, stopped: sideCar, state: client.Pausing, word: "pausing", after: client.Paused},
		{name: "paused", asleep: true, state: client.Paused, word: "paused", after: client.Paused},
		{name: "committing", program: ours, verb: commits, stopped: sideCar, state: client.Running, word: "committing", after: client.Running},
		{name: "uploading", program: ours, verb: commits, stopped: jobs, when: uploads, state: client.Running, word: "running", after: client.Running},
		{name: "uploading while paused", asleep: true, program: ours, verb: commits, stopped: jobs, when: uploads, state: client.Paused, word: "paused", after: client.Paused},
		{name: "resuming", asleep: true, program: ours, verb: []string{"tasks", "resume"}, stopped: sideCar, state: client.Paused, word: "resuming", after: client.Running},
	}

	// relayed are moments of verbs that containerd has been asked for: they are
	// given up with it.
	relayed = []moment{
		{name: "pausing through containerd", program: stock, verb: []string{"tasks", "pause"}, stopped: sideCar, state: client.Running, word: "running", after: client.Running},
		{name: "resuming through containerd", asleep: true, program: stock, verb: []string{"tasks", "resume"}, stopped: sideCar, state: client.Paused, word: "paused", after: client.Paused},
	}
)

// start runs a service with memory of every kind on a node of its own.
func start(t *testing.T) (*harness.Service, harness.Container) {
	t.Helper()
	return startOn(t, harness.Config{})
}

// startOn is start on a node of another configuration.
func startOn(t *testing.T, c harness.Config) (*harness.Service, harness.Container) {
	t.Helper()
	n := harness.NewNode(t, c)
	spec := harness.ServiceContainer(harness.NewNetwork(t), 64, map[string]string{
		"ateom.dev/durable-dirs": `[{"name":"home","mountPath":"/home/agent"}]`,
	}, "/home/agent")
	return n.RunService(t, spec), spec
}

// bucket is the store that moments commit to.
func bucket(n *harness.Node) string { return "file://" + filepath.Join(n.Dir, "bucket") }

// sleep pauses the service and returns the snapshot's id.
func sleep(t *testing.T, s *harness.Service) string {
	t.Helper()
	return snapshotOf(t, s.Node.Ateom(t, "tasks", "pause", "--json", s.ID))
}

// durable is a snapshot of the service that whatever dies next must leave whole, and its
// store: the one that it sleeps in, or one that it has committed.
func durable(t *testing.T, s *harness.Service, asleep bool) (id, store string) {
	t.Helper()
	if asleep {
		return sleep(t, s), "local"
	}
	return snapshotOf(t, s.Node.Ateom(t, "tasks", "commit", "--json", "--scope", "Full", s.ID)), "dir"
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
	if m.when != "" || m.word == "committing" {
		args = append(args[:len(args):len(args)], bucket(s.Node))
	}
	go func() {
		done <- s.Node.Do(t, harness.Command{Program: m.program, Args: append(args[:len(args):len(args)], s.ID)})
	}()
	var pids []int
	harness.Eventually(t, func() error {
		if m.when != "" {
			if found, err := filepath.Glob(filepath.Join(s.Node.Config.StateDir, m.when)); err != nil || len(found) == 0 {
				return fmt.Errorf("no %s: %v", m.when, err)
			}
		}
		for _, pid := range harness.Find(t, func(args string) bool { return strings.Contains(args, m.stopped) }) {
			if s.Node.Owns(pid) && syscall.Kill(pid, syscall.SIGSTOP) == nil {
				pids = append(pids, pid)
			}
		}
		if len(pids) == 0 {
			return fmt.Errorf("no %s runs", m.stopped)
		}
		return nil
	})
	release = func() {
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGCONT) // it may have been killed
		}
	}
	t.Cleanup(release)
	harness.Eventually(t, func() error {
		if got := s.SandboxState(t); m.program == ours && got != m.word {
			return fmt.Errorf("the sandbox is %s, want %s", got, m.word)
		}
		return nil
	})
	return release, done
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
