// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package runsc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/unet"
	"gvisor.dev/gvisor/pkg/urpc"
)

// Methods of the sandbox's control server, as runsc/boot/controller.go of the
// pinned gVisor names them. The interface is internal to gVisor: where a
// method is missing, ErrUnsupported tells the caller to use the subcommand.
const (
	methodPause       = "containerManager.Pause"
	methodResume      = "containerManager.Resume"
	methodWait        = "containerManager.Wait"
	methodSignal      = "containerManager.Signal"
	methodProcesses   = "containerManager.Processes"
	methodEvent       = "containerManager.Event"
	methodPortForward = "containerManager.PortForward"
	methodWaitRestore = "containerManager.WaitRestore"
	methodCheckpoint  = "containerManager.Checkpoint"
)

// ErrUnsupported says that the sandbox does not speak a control method.
var ErrUnsupported = errors.New("control method not supported by this runsc")

// ErrSandboxGone says that nobody answers on the control socket any more.
var ErrSandboxGone = errors.New("sandbox is gone")

// callLimit bounds every control call but the waiting ones.
const callLimit = 10 * time.Second

// A Control talks to the control socket of one sandbox. A call takes tens of
// microseconds, where the corresponding subcommand takes 10–15 ms. Methods may
// be called from several goroutines; every call has a connection of its own, so
// that there is nothing to close.
type Control struct {
	runsc *Runsc
	id    string
}

// Control returns the control client of the sandbox whose root container is id.
func (r *Runsc) Control(id string) *Control { return &Control{runsc: r, id: id} }

// Freeze stops every task of the sandbox and returns when all have stopped.
// Freezing nests: each Freeze wants its Thaw. A Freeze that ended with ctx may
// have taken effect.
func (c *Control) Freeze(ctx context.Context) error { return c.call(ctx, methodPause, nil, nil) }

// Thaw undoes one Freeze.
func (c *Control) Thaw(ctx context.Context) error { return c.call(ctx, methodResume, nil, nil) }

// Wait waits, without a bound but ctx, for the first process of a container to end.
func (c *Control) Wait(ctx context.Context, container string) (status int, err error) {
	var ws uint32
	if err := c.callUnbounded(ctx, methodWait, &container, &ws); err != nil {
		return 0, err
	}
	return waitStatus(unix.WaitStatus(ws)), nil
}

// WaitRestore waits, without a bound but ctx, until a restore has loaded all of its memory.
func (c *Control) WaitRestore(ctx context.Context) error {
	return c.callUnbounded(ctx, methodWaitRestore, nil, nil)
}

// saveArgs is what Checkpoint uses of control.SaveOpts.
type saveArgs struct {
	Metadata      map[string]string `json:"metadata"`
	HavePagesFile bool              `json:"have_pages_file"`
	urpc.FilePayload
	Resume             bool
	UseCheckpointGofer bool `json:"use_checkpoint_gofer"`
}

// Checkpoint does what the subcommand of that name does, with a checkpoint
// gofer that the caller has started: gofer is a socket connected to it, which
// the caller closes. A sandbox that does not know the arguments counts the
// files, before it touches anything: ErrUnsupported.
func (c *Control) Checkpoint(ctx context.Context, gofer *os.File) error {
	ctx, cancel := Within(ctx, longLimit)
	defer cancel()
	args := &saveArgs{
		Metadata:           map[string]string{"compression": "none"}, // statefile.CompressionLevelNone
		HavePagesFile:      true,
		Resume:             true,
		UseCheckpointGofer: true,
	}
	args.Files = []*os.File{gofer}
	err := c.callUnbounded(ctx, methodCheckpoint, args, nil)
	var remote urpc.RemoteError
	if errors.As(err, &remote) && strings.HasPrefix(remote.Message, "got 1 files, wanted ") {
		return fmt.Errorf("%w: %w", err, ErrUnsupported)
	}
	return err
}

// signalArgs is boot.SignalArgs.
type signalArgs struct {
	CID   string
	Signo int32
	PID   int32
	Mode  int
}

// Modes of signalArgs: boot.SignalDeliveryMode.
const (
	deliverToProcess      = 0
	deliverToAllProcesses = 1
)

// Signal sends a signal to a process of a container; pid 0 is its first process.
func (c *Control) Signal(ctx context.Context, container string, pid int, signal syscall.Signal) error {
	return c.call(ctx, methodSignal, &signalArgs{CID: container, PID: int32(pid), Signo: int32(signal), Mode: deliverToProcess}, nil)
}

// SignalAll sends a signal to every process of a container.
func (c *Control) SignalAll(ctx context.Context, container string, signal syscall.Signal) error {
	return c.call(ctx, methodSignal, &signalArgs{CID: container, Signo: int32(signal), Mode: deliverToAllProcesses}, nil)
}

// A ProcessInfo is one process of a container; the fields are those of control.Process.
type ProcessInfo struct {
	PID  int    `json:"pid"`
	PPID int    `json:"ppid"`
	Cmd  string `json:"cmd"`
}

// Processes lists the processes of a container.
func (c *Control) Processes(ctx context.Context, container string) ([]ProcessInfo, error) {
	var out []ProcessInfo
	err := c.call(ctx, methodProcesses, &container, &out)
	return out, err
}

// Stats are a container's resource counters, the useful part of boot.Event.
type Stats struct {
	CPU struct {
		Usage struct {
			Kernel uint64   `json:"kernel"`
			User   uint64   `json:"user"`
			Total  uint64   `json:"total"` // nanoseconds
			PerCPU []uint64 `json:"percpu"`
		} `json:"usage"`
	} `json:"cpu"`
	Memory struct {
		Cache uint64 `json:"cache"`
		Usage struct {
			Limit uint64 `json:"limit"`
			Usage uint64 `json:"usage"` // bytes
			Max   uint64 `json:"max"`
		} `json:"usage"`
	} `json:"memory"`
	Pids struct {
		Current uint64 `json:"current"`
		Limit   uint64 `json:"limit"`
	} `json:"pids"`
}

// Stats returns the counters of one container.
func (c *Control) Stats(ctx context.Context, container string) (*Stats, error) {
	var out struct {
		Event struct {
			Data Stats `json:"data"`
		} `json:"event"`
		ContainerUsage map[string]uint64 `json:"containerUsage"`
	}
	if err := c.call(ctx, methodEvent, &container, &out); err != nil {
		return nil, err
	}
	// The sentry cannot tell how much of its CPU time went to which container,
	// but it tells each container's own share of what its tasks used.
	if s := &out.Event.Data; s.CPU.Usage.Total == 0 {
		s.CPU.Usage.Total = out.ContainerUsage[container]
	}
	return &out.Event.Data, nil
}

// Dial is Dialer.Dial for who dials once.
func (c *Control) Dial(ctx context.Context, container string, port uint16) (*os.File, error) {
	d := c.Dialer(container)
	defer d.Close()
	return d.Dial(ctx, port)
}

func (c *Control) call(ctx context.Context, method string, arg, result any) error {
	ctx, cancel := Within(ctx, callLimit)
	defer cancel()
	return c.callUnbounded(ctx, method, arg, result)
}

// callUnbounded makes one call; when ctx ends, the connection is closed under
// it, and whether the call took effect is not known.
func (c *Control) callUnbounded(ctx context.Context, method string, arg, result any) error {
	l, err := c.open(ctx, method)
	if err != nil {
		return err
	}
	defer l.close()
	return l.call(ctx, method, arg, result)
}

// A line is a connection to the control socket, for one call after the other.
type line struct {
	control *Control
	socket  *unet.Socket
	client  *urpc.Client
	mark    int64 // size of the log when it was opened
}

// open opens a line for a call of a method.
func (c *Control) open(ctx context.Context, method string) (*line, error) {
	mark := c.runsc.logSize()
	if ctx.Err() != nil {
		return nil, c.explain(ctx, method, ctx.Err(), mark)
	}
	socket, err := c.connect()
	if err != nil {
		return nil, err
	}
	return &line{control: c, socket: socket, client: urpc.NewClient(socket), mark: mark}, nil
}

// call makes one call. When ctx ends, the line is dead.
func (l *line) call(ctx context.Context, method string, arg, result any) error {
	// The client's own Close waits for the call in progress; shutting the socket
	// down wakes that call up, and does nothing to a socket that is closed.
	stop := context.AfterFunc(ctx, func() { l.socket.Shutdown() })
	err := l.client.Call(method, arg, result)
	stop()
	return l.control.explain(ctx, method, err, l.mark)
}

func (l *line) close() { l.client.Close() }

// explain makes a sentence of the error of a call that began when the log had the
// size mark.
func (c *Control) explain(ctx context.Context, method string, err error, mark int64) error {
	var remote urpc.RemoteError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("call %s of sandbox %s: %w%s", method, c.id, context.Cause(ctx), c.runsc.quote(mark))
	case errors.As(err, &remote) && strings.Contains(remote.Message, "unknown method"):
		return fmt.Errorf("call %s: %w", method, ErrUnsupported)
	case errors.As(err, &remote):
		// What a sandbox says goes into events, logs and answers, however much it is.
		return fmt.Errorf("call %s of sandbox %s: %w", method, c.id, urpc.RemoteError{Message: clip(remote.Message, maxQuote)})
	default:
		return fmt.Errorf("call %s of sandbox %s: %w", method, c.id, c.gone(err))
	}
}

// connect opens the control socket. runsc puts it into the first of these
// directories where it can; not all of them are ours alone, so that only a
// socket that this user has made is believed.
func (c *Control) connect() (*unet.Socket, error) {
	name := filepath.Base(c.runsc.ControlSocket(c.id))
	for _, dir := range []string{c.runsc.Root, "/var/run", "/run", "/tmp"} {
		// The descriptor stands for a path that may be too long for a socket address.
		fd, err := unix.Open(filepath.Join(dir, name), unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		socket, err := connectTo(fd)
		unix.Close(fd)
		if errors.Is(err, unix.EAGAIN) {
			// Whoever shall take the connection lives, and does not.
			return nil, fmt.Errorf("connect to sandbox %s: %w", c.id, &LimitError{callLimit})
		}
		if err != nil {
			return nil, fmt.Errorf("connect to sandbox %s: %w", c.id, c.gone(err))
		}
		return socket, nil
	}
	return nil, fmt.Errorf("connect to sandbox %s: %w", c.id, c.gone(os.ErrNotExist))
}

// gone is ErrSandboxGone with what was seen of that, and what the sandbox said
// itself.
func (c *Control) gone(err error) error {
	return fmt.Errorf("%w (%v)%s", ErrSandboxGone, err, quoteWords(c.runsc.LastWords()))
}

// connectTo connects to the socket that an O_PATH descriptor stands for.
func connectTo(fd int) (*unet.Socket, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	if int(st.Uid) != os.Geteuid() {
		return nil, fmt.Errorf("control socket belongs to user %d", st.Uid)
	}
	s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	// A server that does not accept must not hold anybody for ever.
	limit := unix.NsecToTimeval(callLimit.Nanoseconds())
	if err = unix.SetsockoptTimeval(s, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit); err == nil {
		err = unix.Connect(s, &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d", fd)})
	}
	if err != nil {
		unix.Close(s)
		return nil, err
	}
	return unet.NewSocket(s)
}
