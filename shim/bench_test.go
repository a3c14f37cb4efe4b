// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/pkg/shutdown"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/shim/config"
)

// A bench is a service with a sandbox "box" whose runsc is a script, and a
// recorder of its events.
type bench struct {
	*Service
	sb       *sandbox
	recorder *recorder
	flush    func() // returns when every event is recorded; no event may follow
}

// newBench makes one without containers.
func newBench(t *testing.T) *bench { return newBenchIn(t, "") }

// newBenchIn makes one whose directories lie in another one than that for
// temporary files, which is "".
func newBenchIn(t *testing.T, parent string) *bench {
	t.Helper()
	place, err := os.MkdirTemp(parent, "bench")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(place) })
	dir, err := os.MkdirTemp("", "bench") // short enough for a socket's address
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	binary := filepath.Join(dir, "runsc")
	script := "#!/bin/sh\ncase \"$*\" in --version) echo 'runsc version test';; *) echo \"$@\" >>'" + dir + "/calls';; esac\n"
	// A process that is forked meanwhile would hold the file open for writing,
	// and the kernel would not run it.
	syscall.ForkLock.RLock()
	err = os.WriteFile(binary, []byte(script), 0o700)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.Runsc, cfg.StateDir, cfg.RunDir = binary, filepath.Join(place, "state"), filepath.Join(place, "run")
	cfg.Stores = map[string]config.Store{"main": {URL: "file:///main"}}
	cfg.DefaultStore = "main"
	s := &Service{namespace: "ns"}
	sb, err := newSandbox(s.namespace, "box", cfg, &s.removals)
	if err != nil {
		t.Fatal(err)
	}
	sb.runsc.Starter = nil // the test process is no reaper
	r := &recorder{}
	_, sd := shutdown.WithShutdown(t.Context())
	s.events, s.sandbox, s.shutdown = newEventQueue(t.Context(), r), sb, sd
	flush := sync.OnceFunc(s.events.close)
	t.Cleanup(flush)
	return &bench{Service: s, sb: sb, recorder: r, flush: flush}
}

// addContainer adds a container, started unless the sandbox is only created.
func (b *bench) addContainer(t *testing.T, id string) *container {
	t.Helper()
	decl, err := declare(nil)
	if err != nil {
		t.Fatal(err)
	}
	bundle := t.TempDir()
	c := &container{
		id: id, name: id, bundle: bundle, rootfs: filepath.Join(bundle, "rootfs"), decl: decl, init: newTestProcess(""),
		spec: &specs.Spec{Process: &specs.Process{}, Root: &specs.Root{}, Linux: &specs.Linux{}},
	}
	if err := os.Mkdir(c.rootfs, 0o700); err != nil {
		t.Fatal(err)
	}
	if b.sb.machine.state() != Created {
		c.init.setStarted(os.Getpid())
	}
	b.sb.add(c)
	return c
}

// in makes the sandbox be in a state, with a root container and one more.
func (b *bench) in(t *testing.T, state State) (root, other *container) {
	t.Helper()
	b.sb.machine.current.Store(state)
	return b.addContainer(t, "box"), b.addContainer(t, "other")
}

// calls returns what runsc was called with, the global flags left out.
func (b *bench) calls(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(filepath.Dir(b.sb.runsc.Binary), "calls"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	var calls []string
	for line := range strings.Lines(string(text)) {
		_, call, _ := strings.Cut(strings.TrimSpace(line), "--log-format=json ")
		calls = append(calls, call)
	}
	return calls
}

// newSnapshot publishes a Data snapshot without volumes in the local store.
func (b *bench) newSnapshot(t *testing.T, id artifacts.ID) {
	t.Helper()
	draft, err := b.sb.local.NewDraft(id)
	if err != nil {
		t.Fatal(err)
	}
	m, err := b.sb.manifest(t.Context(), id, artifacts.Data, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := draft.Publish(m); err != nil {
		t.Fatal(err)
	}
}
