// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/unet"
	"gvisor.dev/gvisor/pkg/urpc"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/artifacts/local"
	"github.com/ateom/ateom/runsc"
)

// A memory is what a sandbox's program remembers, and what is saved of it.
type memory struct {
	number int
	// caught counts the signals that have come, but SIGKILL.
	caught int
}

// boot starts a sandbox whose memory holds a number; one that is frozen runs
// when its last container is restored.
func (f *fakeRuntime) boot(number, frozen int) error {
	path := filepath.Join(f.root, "runsc-box.sock")
	// Not by package unet: what that opens is inherited by the processes that are
	// started meanwhile, and outlives the sandbox in them.
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return err
	}
	listener.SetUnlinkOnClose(false) // the next one may be there
	f.mu.Lock()
	f.pids++
	k := &containerManager{
		fake: f, pid: 1<<22 + f.pids, memory: memory{number: number}, frozen: frozen, died: make(chan struct{}), // beyond the kernel's highest pid
		listener: listener, server: urpc.NewServer(), accepting: make(chan struct{}), signals: make(chan int32, 100),
	}
	f.exits[k.pid] = k.died
	second := f.kernel != nil
	f.kernel = k
	f.mu.Unlock()
	if second {
		f.violated("a second sandbox was created beside one that runs")
	}
	k.server.Register(k)
	go func() {
		defer close(k.accepting)
		for {
			conn, err := listener.AcceptUnix()
			if err != nil {
				return
			}
			socket, err := socketOf(conn)
			if err != nil {
				f.violated("accept a connection: %v", err)
				return
			}
			k.server.StartHandling(socket)
		}
	}()
	return nil
}

// socketOf makes a connection one of package unet.
func socketOf(conn *net.UnixConn) (*unet.Socket, error) {
	defer conn.Close()
	file, err := conn.File()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return unet.NewSocket(fd)
}

// running returns the sandbox that runs, or one that has died.
func (f *fakeRuntime) running() *containerManager {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.kernel == nil {
		return &containerManager{fake: f, died: closedChannel}
	}
	return f.kernel
}

var closedChannel = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// endKernel ends the sandbox that runs, if one does.
func (f *fakeRuntime) endKernel() {
	f.mu.Lock()
	k := f.kernel
	f.mu.Unlock()
	if k != nil {
		k.end()
	}
}

// errDead fails a command whose sandbox has died.
var errDead = errors.New("the sandbox has died")

// checkpoint writes what a gofer in its seat does, as long as that lives.
func (k *containerManager) checkpoint(sidecar *fakeSidecar) error {
	sidecar.mu.Lock()
	defer sidecar.mu.Unlock()
	if sidecar.isDead {
		return errSidecarDied
	}
	dir := sidecar.dir
	k.mu.Lock()
	text, frozen := fmt.Appendln(nil, k.memory.number, k.memory.caught), k.frozen
	k.mu.Unlock()
	if frozen == 0 {
		k.fake.violated("a sandbox is saved that is not frozen")
	}
	if err := errors.Join(os.MkdirAll(local.ImageDir(dir), 0o700), os.MkdirAll(filepath.Join(dir, job.PartsDir), 0o700)); err != nil {
		return err
	}
	for _, name := range local.ImageParts() {
		path, err := local.ImagePath(dir, name)
		if err != nil {
			return err
		}
		note, err := json.Marshal(artifacts.Part{Name: name, Encoding: artifacts.Raw, Size: int64(len(text)), Digest: sha256.Sum256(text)})
		if err != nil {
			return err
		}
		if err := errors.Join(os.WriteFile(path, text, 0o600), os.WriteFile(filepath.Join(dir, job.PartFile(name)), note, 0o600)); err != nil {
			return err
		}
	}
	return nil
}

// saved is what checkpoint wrote.
func saved(dir string) (m memory, err error) {
	path, err := local.ImagePath(dir, local.ImageParts()[0])
	if err != nil {
		return m, err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return m, err
	}
	_, err = fmt.Sscanln(string(b), &m.number, &m.caught)
	return m, err
}

// containerManager is the control server of a fake sandbox, under the name and
// in the form of the real one's.
type containerManager struct {
	fake      *fakeRuntime
	pid       int
	died      chan struct{}
	once      sync.Once
	listener  *net.UnixListener
	server    *urpc.Server
	accepting chan struct{}

	mu     sync.Mutex
	frozen int
	memory memory
	// stuck says that it does not let itself be thawed.
	stuck bool
	// signals gets every signal that was sent.
	signals chan int32
	// execs are the pids of exec'd processes; one is closed when its process is killed.
	execs map[int]chan struct{}
}

// addExec gives an exec'd process a pid, and what tells that it is killed.
func (k *containerManager) addExec() (pid int, killed <-chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.execs == nil {
		k.execs = map[int]chan struct{}{}
	}
	pid, end := 7+len(k.execs), make(chan struct{})
	k.execs[pid] = end
	return pid, end
}

// end is the death of the sandbox's process.
func (k *containerManager) end() {
	k.once.Do(func() {
		k.fake.mu.Lock()
		if k.fake.kernel == k {
			k.fake.kernel = nil
		}
		k.fake.mu.Unlock()
		close(k.died)
		k.listener.Close()
		<-k.accepting
		k.server.Stop(0)
	})
}

func (k *containerManager) hasDied() bool {
	select {
	case <-k.died:
		return true
	default:
		return false
	}
}

func (k *containerManager) Pause(_, _ *struct{}) error {
	if _, fails := k.fake.begin("freeze"); fails {
		return errors.New("cannot freeze")
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.frozen++
	return nil
}

func (k *containerManager) Resume(_, _ *struct{}) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stuck {
		return errors.New("cannot thaw")
	}
	k.frozen--
	return nil
}

// saveArgs is the part of control.SaveOpts that the fake looks at.
type saveArgs struct{ urpc.FilePayload }

func (k *containerManager) Checkpoint(args *saveArgs, _ *struct{}) error {
	for _, file := range args.Files {
		file.Close()
	}
	f := k.fake
	gate, fails := f.begin("checkpoint")
	f.mu.Lock()
	sidecar := f.sidecar
	f.mu.Unlock()
	if gate != nil {
		f.reached <- "checkpoint"
		select {
		case <-gate:
		case <-sidecar.died:
			return errSidecarDied
		case <-k.died:
			return errDead
		}
	}
	if fails {
		return errors.New("cannot be saved")
	}
	return k.checkpoint(sidecar)
}

func (k *containerManager) Wait(_ *string, _ *uint32) error {
	<-k.died
	return errors.New("the sandbox has died")
}

func (k *containerManager) Signal(args *struct {
	CID        string
	Signo, PID int32
	Mode       int
}, _ *struct{}) error {
	if gate, _ := k.fake.begin("signal"); gate != nil {
		select {
		case <-gate:
		case <-k.died:
		}
		return errDead
	}
	k.signals <- args.Signo
	k.mu.Lock()
	defer k.mu.Unlock()
	switch end := k.execs[int(args.PID)]; {
	case end != nil && args.Signo == sigkill:
		close(end)
		k.execs[int(args.PID)] = nil
	case args.PID != 0 || args.CID != "box":
	case args.Signo == sigkill:
		go k.end()
	default:
		if k.frozen > 0 {
			k.fake.violated("signal %d came to a sandbox that is frozen", args.Signo)
		}
		k.memory.caught++
	}
	return nil
}

func (k *containerManager) Processes(_ *string, out *[]runsc.ProcessInfo) error {
	*out = []runsc.ProcessInfo{{PID: 1}}
	return nil
}

func (k *containerManager) Event(_ *string, out *struct {
	Event struct {
		Data runsc.Stats `json:"data"`
	} `json:"event"`
}) error {
	out.Event.Data.CPU.Usage.Total = 7
	out.Event.Data.Memory.Usage.Usage = 4096
	return nil
}

// add adds to the number in the sandbox's memory and returns what that is then;
// false if nothing runs.
func (f *fakeRuntime) add(n int) (memory, bool) { return f.running().add(n) }

func (k *containerManager) add(n int) (memory, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.hasDied() || k.frozen > 0 {
		return memory{}, false
	}
	k.memory.number += n
	return k.memory, true
}
