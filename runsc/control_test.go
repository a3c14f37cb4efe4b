// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package runsc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/unet"
	"gvisor.dev/gvisor/pkg/urpc"
)

// containerManager answers under the name, and in the form, of the sandbox's
// own control server.
type containerManager struct {
	mu      sync.Mutex
	calls   []string
	signals []signalArgs
	status  unix.WaitStatus
	err     error

	waiting chan struct{} // gets a token when a Wait is under way
	release chan struct{} // lets Waits go on
	dialled chan struct{} // if there, gets a token when a PortForward is under way, which waits for release, too
	lines   atomic.Int32  // connections that were accepted
}

func (m *containerManager) note(call string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls = append(m.calls, call)
	return m.err
}

// fail has the next calls answered with an error.
func (m *containerManager) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

// heard returns what was called so far.
func (m *containerManager) heard() ([]string, []signalArgs) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.calls), slices.Clone(m.signals)
}

func (m *containerManager) Checkpoint(args *saveArgs, _ *struct{}) error {
	for _, f := range args.Files {
		io.WriteString(f, "image")
		f.Close()
	}
	return m.note(fmt.Sprintf("checkpoint %v %v %v %v", args.Metadata, args.HavePagesFile, args.Resume, args.UseCheckpointGofer))
}

func (m *containerManager) Pause(_, _ *struct{}) error  { return m.note("pause") }
func (m *containerManager) Resume(_, _ *struct{}) error { return m.note("resume") }

func (m *containerManager) Wait(id *string, status *uint32) error {
	m.waiting <- struct{}{}
	<-m.release
	*status = uint32(m.status)
	return m.note("wait " + *id)
}

func (m *containerManager) Signal(args *signalArgs, _ *struct{}) error {
	m.mu.Lock()
	m.signals = append(m.signals, *args)
	m.mu.Unlock()
	return m.note("signal")
}

func (m *containerManager) Processes(id *string, out *[]ProcessInfo) error {
	*out = []ProcessInfo{{PID: 1, Cmd: "init of " + *id}, {PID: 7, PPID: 1, Cmd: "sh"}}
	return m.note("processes")
}

// eventOut has the shape of boot.EventOut.
type eventOut struct {
	Event struct {
		Type string `json:"type"`
		Data Stats  `json:"data"`
	} `json:"event"`
	ContainerUsage map[string]uint64 `json:"containerUsage"`
}

func (m *containerManager) Event(id *string, out *eventOut) error {
	out.Event.Data.Memory.Usage.Usage = 4096
	out.ContainerUsage = map[string]uint64{*id: 99}
	return m.note("event")
}

func (m *containerManager) PortForward(args *portForwardArgs, _ *struct{}) error {
	if m.dialled != nil {
		m.dialled <- struct{}{}
		<-m.release
	}
	for _, f := range args.Files {
		io.WriteString(f, "hello")
		f.Close()
	}
	return m.note("dial " + args.ContainerID)
}

// serve serves m on the control socket of sandbox "box" and returns a client.
func serve(t *testing.T, m any) *Control {
	t.Helper()
	dir, err := os.MkdirTemp("", "ctl") // short enough for a socket's address
	if err != nil {
		t.Fatal(err)
	}
	r := &Runsc{Root: dir}
	listener, err := unet.BindAndListen(r.ControlSocket("box"), false)
	if err != nil {
		t.Fatal(err)
	}
	server := urpc.NewServer()
	server.Register(m)
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if m, ok := m.(*containerManager); ok {
				m.lines.Add(1)
			}
			server.StartHandling(conn)
		}
	})
	t.Cleanup(func() {
		listener.Close()
		accepting.Wait()
		server.Stop(time.Second)
		os.RemoveAll(dir)
	})
	return r.Control("box")
}

func newContainerManager() *containerManager {
	return &containerManager{waiting: make(chan struct{}, 1), release: make(chan struct{})}
}

func TestControlCalls(t *testing.T) {
	m := newContainerManager()
	c := serve(t, m)
	ctx := t.Context()
	for _, call := range []func() error{
		func() error { return c.Freeze(ctx) },
		func() error { return c.Thaw(ctx) },
		func() error { return c.Signal(ctx, "a", 7, syscall.SIGTERM) },
		func() error { return c.SignalAll(ctx, "b", syscall.SIGKILL) },
	} {
		if err := call(); err != nil {
			t.Fatal(err)
		}
	}
	calls, signals := m.heard()
	if diff := cmp.Diff([]string{"pause", "resume", "signal", "signal"}, calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	want := []signalArgs{{CID: "a", PID: 7, Signo: 15, Mode: deliverToProcess}, {CID: "b", Signo: 9, Mode: deliverToAllProcesses}}
	if diff := cmp.Diff(want, signals); diff != "" {
		t.Errorf("signals (-want +got):\n%s", diff)
	}
	ps, err := c.Processes(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]ProcessInfo{{PID: 1, Cmd: "init of a"}, {PID: 7, PPID: 1, Cmd: "sh"}}, ps); diff != "" {
		t.Errorf("processes (-want +got):\n%s", diff)
	}
	stats, err := c.Stats(ctx, "a")
	if err != nil || stats.Memory.Usage.Usage != 4096 || stats.CPU.Usage.Total != 99 {
		t.Errorf("Stats = %+v, %v", stats, err)
	}
}

func TestControlDialHandsOverASocket(t *testing.T) {
	c := serve(t, newContainerManager())
	f, err := c.Dial(t.Context(), "a", 80)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// The far end is the sandbox's alone: when it closes it, the bytes end.
	if b, err := io.ReadAll(f); err != nil || string(b) != "hello" {
		t.Errorf("read %q, %v", b, err)
	}
}

func TestControlCheckpointHandsOverTheGofer(t *testing.T) {
	m := newContainerManager()
	c := serve(t, m)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	err = c.Checkpoint(t.Context(), w)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(r); err != nil || string(b) != "image" {
		t.Errorf("the gofer got %q, %v", b, err)
	}
	calls, _ := m.heard()
	if diff := cmp.Diff([]string{"checkpoint map[compression:none] true true true"}, calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	m.fail(errors.New("got 1 files, wanted 3"))
	if err := c.Checkpoint(t.Context(), os.Stdin); !errors.Is(err, ErrUnsupported) {
		t.Errorf("Checkpoint of a sandbox that knows no gofers = %v", err)
	}
}

func TestControlWaitDecodesTheStatus(t *testing.T) {
	tests := []struct {
		status unix.WaitStatus
		want   int
	}{{0, 0}, {7 << 8, 7}, {9, 128 + 9}, {15, 128 + 15}}
	for _, tt := range tests {
		m := newContainerManager()
		m.status = tt.status
		close(m.release)
		if got, err := serve(t, m).Wait(t.Context(), "a"); err != nil || got != tt.want {
			t.Errorf("Wait with status %#x = %d, %v, want %d", tt.status, got, err, tt.want)
		}
	}
}

func TestCancelledWaitReturnsAtOnce(t *testing.T) {
	m := newContainerManager()
	c := serve(t, m)
	defer close(m.release) // the sandbox itself answers only after the test
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("nobody asks any more")
	go func() {
		<-m.waiting
		cancel(why)
	}()
	if _, err := c.Wait(ctx, "a"); !errors.Is(err, why) {
		t.Errorf("Wait = %v, want the cause of its end", err)
	}
}

func TestCallOfAnEndedContextFails(t *testing.T) {
	c := serve(t, newContainerManager())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Freeze(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Freeze = %v, want a cancellation", err)
	}
}

// stranger is registered under another name than callers know.
type stranger struct{}

func (*stranger) Pause(_, _ *struct{}) error { return nil }

func TestUnknownMethodIsUnsupported(t *testing.T) {
	if err := serve(t, &stranger{}).Freeze(t.Context()); !errors.Is(err, ErrUnsupported) {
		t.Errorf("Freeze = %v, want ErrUnsupported", err)
	}
}

func TestRemoteErrorIsNotTheEndOfTheSandbox(t *testing.T) {
	m := newContainerManager()
	m.err = errors.New("already frozen")
	err := serve(t, m).Freeze(t.Context())
	if err == nil || !strings.Contains(err.Error(), "already frozen") || !strings.Contains(err.Error(), "box") {
		t.Errorf("Freeze = %v, want the remote reason and the sandbox", err)
	}
	if errors.Is(err, ErrSandboxGone) || errors.Is(err, ErrUnsupported) {
		t.Errorf("Freeze = %v, of the wrong class", err)
	}
}

func TestRemoteErrorIsBounded(t *testing.T) {
	m := newContainerManager()
	m.err = errors.New("cannot freeze: " + strings.Repeat("é", maxQuote) + ": out of ice")
	err := serve(t, m).Freeze(t.Context())
	var remote urpc.RemoteError
	if !errors.As(err, &remote) || len(remote.Message) > maxQuote || !strings.HasPrefix(remote.Message, "cannot freeze: ") || !strings.HasSuffix(remote.Message, ": out of ice") {
		t.Errorf("Freeze = %v (%d bytes), want the ends of the reason, in %d bytes at most", err, len(remote.Message), maxQuote)
	}
}

func TestGoneSandbox(t *testing.T) {
	r := &Runsc{Root: t.TempDir()}
	if err := r.Control("no-such-box").Freeze(t.Context()); !errors.Is(err, ErrSandboxGone) {
		t.Errorf("Freeze without a socket = %v, want ErrSandboxGone", err)
	}
	// A socket file that nobody serves any more.
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	stale := "stale"
	err = unix.Bind(fd, &unix.SockaddrUnix{Name: r.ControlSocket(stale)})
	unix.Close(fd)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Control(stale).Freeze(t.Context()); !errors.Is(err, ErrSandboxGone) {
		t.Errorf("Freeze of a stale socket = %v, want ErrSandboxGone", err)
	}
}

// The connection ends without an answer when a sandbox is killed.
func TestSandboxThatDiesDuringACall(t *testing.T) {
	r := &Runsc{Root: t.TempDir()}
	listener, err := unet.BindAndListen(r.ControlSocket("box"), false)
	if err != nil {
		t.Fatal(err)
	}
	var accepting sync.WaitGroup
	accepting.Go(func() {
		if conn, err := listener.Accept(); err == nil {
			conn.Close()
		}
	})
	defer accepting.Wait()
	defer listener.Close()
	if _, err := r.Control("box").Wait(t.Context(), "a"); !errors.Is(err, ErrSandboxGone) {
		t.Errorf("Wait = %v, want ErrSandboxGone", err)
	}
}

func TestSocketOfAnotherUserIsNotBelieved(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("giving a file away takes root; run the tests as root")
	}
	m := newContainerManager()
	c := serve(t, m)
	const nobody = 65534
	if err := os.Chown(filepath.Join(c.runsc.Root, "runsc-box.sock"), nobody, nobody); err != nil {
		t.Fatal(err)
	}
	if err := c.Freeze(t.Context()); !errors.Is(err, ErrSandboxGone) {
		t.Errorf("Freeze = %v, want ErrSandboxGone", err)
	}
	if calls, _ := m.heard(); len(calls) != 0 {
		t.Errorf("the stranger was called: %v", calls)
	}
}

func TestControlSocketPathMayBeLong(t *testing.T) {
	c := serve(t, newContainerManager())
	// The same directory under a name that no socket address could hold.
	long := filepath.Join(t.TempDir(), strings.Repeat("x", 120))
	if err := os.Symlink(c.runsc.Root, long); err != nil {
		t.Fatal(err)
	}
	if err := (&Runsc{Root: long}).Control("box").Freeze(t.Context()); err != nil {
		t.Errorf("Freeze = %v", err)
	}
}
