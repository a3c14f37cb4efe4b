// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// insideEnv marks the process that Enter started.
const insideEnv = "ATEOM_BENCH_INSIDE"

// Inside reports whether this is the process that Enter started.
func Inside() bool { return os.Getenv(insideEnv) != "" }

// Enter runs this program once more, with the same arguments, in network and
// mount namespaces of its own. In the outer process it returns done and the
// inner one's exit code; in the inner process it makes the namespaces usable
// and returns not done. It needs root.
func Enter() (done bool, code int, err error) {
	if Inside() {
		return false, 0, settle()
	}
	if os.Geteuid() != 0 {
		return true, 1, errors.New("enter namespaces: want root: runsc and network namespaces need it")
	}
	// Pdeathsig follows the thread that made the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.SysProcAttr = &unix.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS,
		Pdeathsig:  unix.SIGTERM,
	}
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return true, exit.ExitCode(), nil
	}
	if err != nil {
		return true, 1, fmt.Errorf("enter namespaces: %w", err)
	}
	return true, 0, nil
}

// settle makes mounts private and brings the loopback interface up.
func settle() error {
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
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
