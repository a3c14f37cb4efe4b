// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// stageEnv tells a process that Enter started what it is for, and dirEnv where
// the bench keeps its files.
const (
	stageEnv = "ATEOM_BENCH_STAGE"
	dirEnv   = "ATEOM_BENCH_DIR"

	stageInit    = "init"
	stageMeasure = "measure"
)

// Inside reports whether this is a process that Enter started.
func Inside() bool { return os.Getenv(stageEnv) != "" }

// Dir is an empty directory for the process that measures. Its first process
// removes it when the others have ended, however they did, and so it does the
// cgroups whose names begin with the directory's.
func Dir() string { return os.Getenv(dirEnv) }

// Enter runs this program once more, with the same arguments, in PID, network
// and mount namespaces of its own: what it starts ends with it, even if it is
// killed. Only the process that shall measure comes back with done false; the
// others return its exit code. It needs root.
func Enter() (done bool, code int, err error) {
	switch os.Getenv(stageEnv) {
	case "":
		code, err = outermost()
		return true, code, err
	case stageInit:
		code, err = initProcess()
		return true, code, err
	default:
		return false, 0, nil
	}
}

// self returns this program's command for a stage.
func self(stage string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), stageEnv+"="+stage)
	return cmd
}

// outermost makes the directory and the namespaces, and removes what is left.
func outermost() (code int, err error) {
	if os.Geteuid() != 0 {
		return 1, errors.New("enter namespaces: want root: runsc and network namespaces need it")
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, unix.SIGTERM)
	defer signal.Stop(stop)
	dir, err := os.MkdirTemp("", "ab")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, sweep(filepath.Base(dir)), os.RemoveAll(dir)) }()
	// Pdeathsig follows the thread that made the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := self(stageInit)
	cmd.Env = append(cmd.Env, dirEnv+"="+dir)
	cmd.SysProcAttr = &unix.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWNS,
		Pdeathsig:  unix.SIGKILL,
	}
	if err := cmd.Start(); err != nil {
		return 1, fmt.Errorf("enter namespaces: %w", err)
	}
	passOn(stop, cmd.Process)
	return exitCode(cmd.Wait())
}

// initProcess is process 1, and the parent of what others leave behind. When it
// ends, the kernel kills what is left.
func initProcess() (int, error) {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, unix.SIGTERM)
	if err := settle(); err != nil {
		return 1, err
	}
	cmd := self(stageMeasure)
	if err := cmd.Start(); err != nil {
		return 1, fmt.Errorf("start measuring: %w", err)
	}
	passOn(stop, cmd.Process)
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 1, fmt.Errorf("wait for the bench: %w", err)
		case pid != cmd.Process.Pid:
		case status.Signaled():
			return 1, fmt.Errorf("measure: the bench was ended by signal %d", status.Signal())
		default:
			return status.ExitStatus(), nil
		}
	}
}

// passOn asks p to end for every signal, for as long as this process lives. A
// terminal interrupts all of its processes by itself; to be asked twice is no harm.
func passOn(stop <-chan os.Signal, p *os.Process) {
	go func() {
		for range stop {
			// If it has ended, that is what was wanted.
			_ = p.Signal(unix.SIGTERM)
		}
	}()
}

// exitCode says how a process ended.
func exitCode(err error) (int, error) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit) && exit.ExitCode() >= 0:
		return exit.ExitCode(), nil
	default:
		return 1, fmt.Errorf("measure: %w", err)
	}
}

// sweep removes the cgroups called name and the accounts whose names begin
// with it, where the bench has not. Their processes have ended.
func sweep(name string) error {
	errs := []error{RemoveCgroups(name)}
	if root, err := cgroup2Root(); err == nil {
		left, err := filepath.Glob(filepath.Join(root, name+"-*"))
		errs = append(errs, err)
		for _, path := range left {
			errs = append(errs, (&Account{path: path}).Close())
		}
	}
	return errors.Join(errs...)
}

// shimSockets is where containerd's shim library puts sockets, whatever
// containerd's own directories are.
const shimSockets = "/run/containerd"

// settle makes the new namespaces usable: a /proc that shows this one's
// processes, an empty place for the shims' sockets, a loopback interface.
func settle() error {
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := os.MkdirAll(shimSockets, 0o711); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", shimSockets, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=711"); err != nil {
		return fmt.Errorf("mount %s: %w", shimSockets, err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find loopback interface: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("bring loopback interface up: %w", err)
	}
	return nil
}
