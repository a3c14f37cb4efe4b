// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// stageEnv tells this program's processes apart: the outermost has none.
const stageEnv = "ATEOM_E2E_STAGE"

// dirEnv names the run's directory.
const dirEnv = "ATEOM_E2E_DIR"

const (
	// stageInit is process 1 of the namespaces: it starts the tests and reaps.
	stageInit = "init"
	// stageTests runs the tests.
	stageTests = "tests"
)

// enter runs this program once more, with the same arguments, in namespaces of
// its own. Only the process that shall run the tests comes back with done
// false; the others return the tests' exit code.
func enter() (done bool, code int, err error) {
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

// outermost makes the run's directory and namespaces, and sees to it that
// neither files nor cgroups stay, however the tests end.
func outermost() (code int, err error) {
	if os.Geteuid() != 0 {
		return 1, errors.New("enter namespaces: want root: runsc, mounts and network namespaces need it")
	}
	dir, err := os.MkdirTemp("", "ae")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, removeCgroups(newRoom(dir)), os.RemoveAll(dir)) }()
	// Pdeathsig follows the thread that made the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := self(stageInit)
	cmd.Env = append(cmd.Env, dirEnv+"="+dir)
	cmd.SysProcAttr = &unix.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET,
		Pdeathsig:  unix.SIGKILL,
	}
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(1, exit.ExitCode()), nil
	}
	if err != nil {
		return 1, fmt.Errorf("enter namespaces: %w", err)
	}
	return 0, nil
}

// initProcess is process 1. When it ends, the kernel kills what is left.
func initProcess() (int, error) {
	if err := settle(); err != nil {
		return 1, err
	}
	cmd := self(stageTests)
	if err := cmd.Start(); err != nil {
		return 1, fmt.Errorf("start the tests: %w", err)
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 1, fmt.Errorf("wait for the tests: %w", err)
		case pid != cmd.Process.Pid:
		case status.Signaled():
			return 1, fmt.Errorf("the tests were ended by signal %d", status.Signal())
		default:
			return status.ExitStatus(), nil
		}
	}
}

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

// shimSockets is where containerd's shim library puts sockets, whatever
// containerd's own directories are.
const shimSockets = "/run/containerd"
