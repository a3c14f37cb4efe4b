// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package runsc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// guest answers every connection to port 80, says that it does, and ends with
// status 7 on SIGTERM. Started as "guest nap" it only waits.
const guest = `package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	if len(os.Args) == 1 {
		l, err := net.Listen("tcp", "127.0.0.1:80")
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				fmt.Fprint(c, "hello")
				c.Close()
			}
		}()
	}
	fmt.Println("ready")
	<-term
	os.Exit(7)
}
`

// newNetwork makes a network namespace with a loopback interface that is up,
// and returns the path it is bound to.
func newNetwork(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "net")
	writeFile(t, path, "", 0o600)
	done := make(chan error, 1)
	go func() {
		// The thread is left locked, so that it ends with the goroutine and
		// nobody else runs in the new namespace.
		runtime.LockOSThread()
		done <- func() error {
			ns, err := netns.New()
			if err != nil {
				return err
			}
			defer ns.Close()
			lo, err := netlink.LinkByName("lo")
			if err != nil {
				return err
			}
			if err := netlink.LinkSetUp(lo); err != nil {
				return err
			}
			return unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, "")
		}()
	}()
	if err := <-done; err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(path, unix.MNT_DETACH) })
	return path
}

// newBundle makes a bundle whose root file system is the guest alone.
func newBundle(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	rootfs := filepath.Join(dir, "rootfs")
	if err := os.Mkdir(rootfs, 0o755); err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(dir, "guest.go")
	writeFile(t, source, guest, 0o600)
	build := exec.Command("go", "build", "-o", filepath.Join(rootfs, "guest"), source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the guest: %v\n%s", err, out)
	}
	spec := specs.Spec{
		Version: "1.1.0",
		Process: &specs.Process{Args: []string{"/guest"}, Cwd: "/"},
		Root:    &specs.Root{Path: rootfs},
		Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{
			{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}, {Type: specs.NetworkNamespace, Path: newNetwork(t)},
		}},
	}
	b, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "config.json"), string(b), 0o600)
	return dir
}

// runs says whether a process is there that has not ended; one that nobody has
// reaped yet has.
func runs(t *testing.T, pid int) bool {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, os.ErrNotExist) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z")
}

func TestRealRunscIdentity(t *testing.T) {
	id, err := Identify(t.Context(), realRunsc(t), t.TempDir())
	if err != nil || id.Version == "" || len(id.SHA256) != 64 {
		t.Errorf("Identify = %+v, %v", id, err)
	}
}

func TestRealRunscUnknownContainer(t *testing.T) {
	r := &Runsc{Binary: realRunsc(t), Root: t.TempDir(), Log: filepath.Join(t.TempDir(), "log")}
	if _, err := r.State(t.Context(), "nope"); !IsNotExist(err) {
		t.Errorf("State of a container that does not exist = %v", err)
	}
	if err := r.Delete(t.Context(), "nope"); err != nil {
		t.Errorf("Delete of a container that does not exist = %v", err)
	}
}

func TestRealRunscLife(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("runsc takes root here; run the tests as root")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	root, err := os.MkdirTemp("", "runsc") // short enough for a socket's address
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		// runsc binds an empty network namespace there and leaves it.
		if err := unix.Unmount(filepath.Join(root, "null-netns"), unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			t.Error(err)
		}
		if err := os.RemoveAll(root); err != nil {
			t.Error(err)
		}
	}()
	r := &Runsc{
		Binary: realRunsc(t), Root: root, Log: filepath.Join(t.TempDir(), "log"),
		Flags: []string{"--ignore-cgroups"},
	}
	const id = "life"
	bundle := newBundle(t)
	outR, outW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer outR.Close()
	pid, err := r.Create(ctx, id, bundle, CreateOpts{IO: IO{Stdout: outW}})
	outW.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Delete(context.Background(), id); err != nil {
			t.Errorf("Delete: %v", err)
		}
		if runs(t, pid) {
			t.Errorf("the sandbox (pid %d) is still there after Delete", pid)
		}
	}()
	if err := r.Start(ctx, id, IO{}); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, len("ready\n"))
	if _, err := io.ReadFull(outR, line); err != nil || string(line) != "ready\n" {
		t.Fatalf("the guest said %q, %v", line, err)
	}
	if s, err := r.State(ctx, id); err != nil || s.Status != specs.StateRunning {
		t.Errorf("State = %+v, %v, want running", s, err)
	}
	c := r.Control(id)
	// A sandbox whose root container has ended answers nobody: who wants to know
	// how must wait from the start.
	type end struct {
		status int
		err    error
	}
	ended := make(chan end, 1)
	go func() {
		status, err := c.Wait(ctx, id)
		ended <- end{status, err}
	}()

	t.Run("file server", func(t *testing.T) {
		pid, err := r.FileServer(id, id)
		if err != nil {
			t.Fatal(err)
		}
		args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil || !strings.HasPrefix(string(args), "runsc-gofer") {
			t.Errorf("process %d is %q, %v, want runsc's gofer", pid, args, err)
		}
	})
	t.Run("freeze and thaw", func(t *testing.T) {
		if err := c.Freeze(ctx); err != nil {
			t.Fatal(err)
		}
		ps, err := c.Processes(ctx, id)
		if err != nil || len(ps) != 1 {
			t.Errorf("Processes of a frozen sandbox = %+v, %v, want one", ps, err)
		}
		if err := c.Thaw(ctx); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("dial", func(t *testing.T) {
		f, err := c.Dial(ctx, id, 80)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if b, err := io.ReadAll(f); err != nil || string(b) != "hello" {
			t.Errorf("read %q, %v", b, err)
		}
		if f, err := c.Dial(ctx, id, 81); err == nil {
			f.Close()
			t.Error("Dial of a port that nobody serves succeeded")
		}
	})
	t.Run("stats", func(t *testing.T) {
		if s, err := c.Stats(ctx, id); err != nil || s.Memory.Usage.Usage == 0 {
			t.Errorf("Stats = %+v, %v, want some memory", s, err)
		}
	})
	t.Run("cancelled wait", func(t *testing.T) {
		ctx, cancel := context.WithCancel(ctx)
		time.AfterFunc(10*time.Millisecond, cancel)
		if _, err := c.Wait(ctx, id); !errors.Is(err, context.Canceled) {
			t.Errorf("Wait = %v, want a cancellation", err)
		}
	})
	t.Run("exec", func(t *testing.T) {
		p, err := r.Exec(ctx, id, t.TempDir(), &specs.Process{Args: []string{"/guest", "nap"}, Cwd: "/"}, IO{})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Signal(ctx, id, p.Pid, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
		if status, err := p.Wait(ctx); err != nil || status != 128+9 {
			t.Errorf("Wait = %d, %v, want 137", status, err)
		}
		_, err = r.Exec(ctx, id, t.TempDir(), &specs.Process{Args: []string{"/nope"}, Cwd: "/"}, IO{})
		if err == nil || !strings.Contains(err.Error(), "/nope") {
			t.Errorf("Exec of a missing program = %v, want an error that names it", err)
		}
	})
	t.Run("end", func(t *testing.T) {
		if err := c.Signal(ctx, id, 0, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if e := <-ended; e.err != nil || e.status != 7 {
			t.Errorf("Wait = %d, %v, want 7", e.status, e.err)
		}
	})
}
