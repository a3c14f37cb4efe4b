// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
)

// A fakeRuntime stands for runsc, its sandboxes and the gofer, in this process:
// the shim under test starts commands that become calls here, and finds a
// control socket where a sandbox's would be. A sandbox's program remembers a
// number. It implements runsc.Starter and processes.
type fakeRuntime struct {
	t    *testing.T
	root string // where control sockets lie
	// commands end by themselves, gofers and execs with their sandbox.
	commands, gofers sync.WaitGroup

	mu     sync.Mutex
	pids   int
	kernel *containerManager // the sandbox that runs, if one does
	exits  map[int]chan struct{}
	// stops are where a call of that name waits until the channel is closed.
	stops map[string]chan struct{}
	// reached gets the name of every call that has come to its stop.
	reached chan string
	// fails says whether the next call of that name fails.
	fails   func(call string) bool
	calls   []string
	deleted []string     // ids, in order
	sidecar *fakeSidecar // the one that was started last
	// store has the memory of each snapshot that was committed.
	store map[artifacts.ID]memory
	// told is what exec'd processes have found, by the last of their arguments.
	told map[string]memory
	// uploadedTo is where the last one went.
	uploadedTo string
	// wrong is what must never happen, seen.
	wrong []string
}

// withRuntime gives the bench a fake runtime.
func (b *bench) withRuntime(t *testing.T) *fakeRuntime {
	t.Helper()
	b.withGofer(t)
	f := &fakeRuntime{
		t: t, root: b.sb.runsc.Root, exits: map[int]chan struct{}{}, stops: map[string]chan struct{}{},
		reached: make(chan string, 100), fails: func(string) bool { return false }, store: map[artifacts.ID]memory{},
		told: map[string]memory{},
	}
	b.sb.runsc.Starter, b.sb.starter, b.processes = f, f, f
	t.Cleanup(func() {
		b.sb.endLife()
		f.commands.Wait()
		f.endKernel()
		f.gofers.Wait()
		for _, w := range f.wrong {
			t.Error(w)
		}
	})
	return f
}

// stop makes calls of that name wait until the returned function is called.
func (f *fakeRuntime) stop(call string) (release func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	gate := make(chan struct{})
	f.stops[call] = gate
	return sync.OnceFunc(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.stops[call] == gate {
			delete(f.stops, call)
		}
		close(gate)
	})
}

// await waits until a call has come to its stop.
func (f *fakeRuntime) await(call string) {
	f.t.Helper()
	select {
	case got := <-f.reached:
		if got != call {
			f.t.Fatalf("%s has come to its stop, want %s", got, call)
		}
	case <-time.After(10 * time.Second):
		f.t.Fatalf("nobody has called %s", call)
	}
}

func (f *fakeRuntime) begin(call string) (gate chan struct{}, fails bool) {
	f.mu.Lock()
	decide := f.fails
	f.calls = append(f.calls, call)
	gate = f.stops[call]
	f.mu.Unlock()
	return gate, decide(call)
}

// failing says which calls fail from now on.
func (f *fakeRuntime) failing(decide func(call string) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fails = decide
}

func (f *fakeRuntime) violated(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wrong = append(f.wrong, fmt.Sprintf(format, args...))
}

// Start is runsc.Starter's: it does what the command would.
func (f *fakeRuntime) Start(cmd *exec.Cmd) (func() (int, error), error) {
	switch {
	case cmd.Args[0] == "runsc-"+job.SeatBinary:
		return f.takeSeat(cmd)
	case cmd.Args[1] == "job":
		return f.startGofer(cmd)
	case cmd.Args[1] == "check": // the gofer's: it fits
		return func() (int, error) { return 0, nil }, nil
	}
	args := cmd.Args[1:]
	for strings.HasPrefix(args[0], "--") {
		args = args[1:]
	}
	gate, fails := f.begin(args[0])
	if args[0] == "exec" {
		wait, err := f.exec(cmd, args, fails)
		if gate != nil {
			f.reached <- "exec" // which runs on
		}
		return wait, err
	}
	killed := make(chan struct{})
	if gate != nil {
		// Something that the end of the caller's context can kill.
		if err := startLasting(cmd); err != nil {
			return nil, err
		}
		go func() {
			defer close(killed)
			_ = cmd.Wait()
		}()
		f.reached <- args[0]
	}
	status := make(chan int, 1)
	f.commands.Go(func() {
		if gate != nil {
			select {
			case <-gate:
				_ = cmd.Process.Kill()
				<-killed
			case <-killed:
				status <- killedStatus
				return
			}
		}
		if fails {
			status <- 1
			return
		}
		if err := f.run(args); errors.Is(err, errDead) {
			status <- 1
			return
		} else if err != nil {
			f.violated("runsc %v: %v", args, err)
			status <- 1
			return
		}
		status <- 0
	})
	return func() (int, error) {
		s := <-status
		status <- s
		return s, nil
	}, nil
}

// lifeline is a pipe that nobody writes to, and that ends with this process.
var lifeline struct {
	once        sync.Once
	read, write *os.File
	err         error
}

// startLasting starts cmd as a process that does nothing until it is killed, or
// the tests have ended, however they have.
func startLasting(cmd *exec.Cmd) error {
	l := &lifeline
	l.once.Do(func() { l.read, l.write, l.err = os.Pipe() })
	if l.err != nil {
		return l.err
	}
	cmd.Path, cmd.Args, cmd.Stdin = "/bin/cat", []string{"cat"}, l.read
	return cmd.Start()
}

// exec runs a process that ends with its sandbox, or by SIGKILL. Its arguments may ask it to add
// to the sandbox's number first: "add", how much, and under which name to tell.
func (f *fakeRuntime) exec(cmd *exec.Cmd, args []string, fails bool) (func() (int, error), error) {
	var spec specs.Process
	if text, err := os.ReadFile(flagValue(args, "--process")); err != nil {
		return nil, err
	} else if err := json.Unmarshal(text, &spec); err != nil {
		return nil, err
	}
	if err := startLasting(cmd); err != nil {
		return nil, err
	}
	ended, k := make(chan struct{}), f.running()
	kill := func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		close(ended)
	}
	if !fails && len(spec.Args) == 3 {
		n, err := strconv.Atoi(spec.Args[1])
		if err != nil {
			return nil, err
		}
		m, ok := k.add(n)
		if !ok && !k.hasDied() {
			f.violated("a process was started in a sandbox that is frozen")
		}
		f.mu.Lock()
		f.told[spec.Args[2]] = m
		f.mu.Unlock()
		fails = !ok
	}
	if fails {
		kill()
		return func() (int, error) { return 1, nil }, nil
	}
	pid, killed := k.addExec()
	f.gofers.Go(func() {
		select {
		case <-k.died:
		case <-killed:
		}
		kill()
	})
	err := os.WriteFile(flagValue(args, "--internal-pid-file"), []byte(strconv.Itoa(pid)), 0o600)
	return func() (int, error) { <-ended; return killedStatus, nil }, err
}

// flagValue returns the value of a flag in args.
func flagValue(args []string, name string) string {
	for i, a := range args {
		if a == name {
			return args[i+1]
		}
	}
	return ""
}

func (f *fakeRuntime) run(args []string) error {
	id := args[len(args)-1]
	switch args[0] {
	case "create":
		return f.create(id, flagValue(args, "--pid-file"), 0)
	case "start", "update":
		return nil
	case "restore":
		if pidFile := flagValue(args, "--pid-file"); pidFile != "" {
			if err := f.create(id, pidFile, 1); err != nil {
				return err
			}
		}
		return f.restore(id, flagValue(args, "--image-path"))
	case "delete":
		f.mu.Lock()
		f.deleted = append(f.deleted, id)
		f.mu.Unlock()
		if id == "box" {
			f.endKernel()
		}
		return nil
	default:
		return fmt.Errorf("no such command")
	}
}

func (f *fakeRuntime) create(id, pidFile string, frozen int) error {
	if id == "box" {
		if err := f.boot(0, frozen); err != nil {
			return err
		}
	}
	return os.WriteFile(pidFile, []byte(strconv.Itoa(f.running().pid)), 0o600)
}

// Kill is processes'.
func (f *fakeRuntime) Kill(pid int) error {
	f.mu.Lock()
	is := f.kernel != nil && f.kernel.pid == pid
	f.mu.Unlock()
	if is {
		f.endKernel()
	}
	return nil
}

// Wait is processes'.
func (f *fakeRuntime) Wait(ctx context.Context, pid int) (int, error) {
	f.mu.Lock()
	died := f.exits[pid]
	f.mu.Unlock()
	select {
	case <-died:
		return killedStatus, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (f *fakeRuntime) restore(id, seatDir string) error {
	k := f.running()
	if id != "box" {
		// Nothing runs before all have come.
		k.mu.Lock()
		defer k.mu.Unlock()
		k.frozen = 0
		return nil
	}
	config, err := os.Open(filepath.Join(seatDir, job.SeatFile))
	if err != nil {
		return err
	}
	defer config.Close()
	dir, err := decodeSeat(config)
	if err != nil {
		return err
	}
	m, err := saved(dir)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.memory = m
	select {
	case <-k.died:
		return errDead
	default:
		return nil
	}
}

// runs starts the sandbox of a bench: two containers that run.
func (b *bench) runs(t *testing.T, f *fakeRuntime) (root, other *container) {
	t.Helper()
	root, other = b.addContainer(t, "box"), b.addContainer(t, "other")
	if err := f.boot(1, 0); err != nil {
		t.Fatal(err)
	}
	b.sb.newLife(f.running().pid)
	for _, id := range []string{"box", "other"} {
		if _, err := b.Start(t.Context(), &taskapi.StartRequest{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	return root, other
}
