// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package spaces runs a program once more in PID, mount and network namespaces
// of its own, so that no address, mount, process or shim socket of it meets
// anybody else's, and what it starts ends with it, however it ends.
package spaces

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"

	"golang.org/x/sys/unix"
)

// Stages tell the processes of a program apart; the outermost has none.
const (
	// stageInit is process 1 of the namespaces: it starts the next one and reaps.
	stageInit = "init"
	// stageInside is what the program is for.
	stageInside = "inside"
)

// Spaces are the namespaces of one program.
type Spaces struct {
	// Env begins the names of the variables that Enter sets, such as "ATEOM_E2E".
	Env string
	// Prefix begins the name of the directory.
	Prefix string
	// Sweep removes what neither a namespace nor the directory holds, cgroups
	// above all. It is called when every process has ended, however they did.
	Sweep func(dir string) error
}

func (s *Spaces) stageEnv() string { return s.Env + "_STAGE" }
func (s *Spaces) dirEnv() string   { return s.Env + "_DIR" }

// Inside reports whether this is a process that Enter started.
func (s *Spaces) Inside() bool { return os.Getenv(s.stageEnv()) != "" }

// Dir is an empty directory for the process inside. It is removed when all have
// ended.
func (s *Spaces) Dir() string { return os.Getenv(s.dirEnv()) }

// Enter runs this program once more, with the same arguments. Only the process
// that shall do its work comes back with done false; the others return its exit
// code. It needs root.
func (s *Spaces) Enter() (done bool, code int, err error) {
	switch os.Getenv(s.stageEnv()) {
	case "":
		code, err = s.outermost()
		return true, code, err
	case stageInit:
		code, err = s.initProcess()
		return true, code, err
	default:
		return false, 0, nil
	}
}

// self returns this program's command for a stage.
func (s *Spaces) self(stage string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), s.stageEnv()+"="+stage)
	return cmd
}

// outermost makes the directory and the namespaces, and removes what is left.
func (s *Spaces) outermost() (code int, err error) {
	if os.Geteuid() != 0 {
		return 1, errors.New("enter namespaces: want root: runsc, mounts and network namespaces need it")
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, unix.SIGTERM)
	defer signal.Stop(stop)
	dir, err := os.MkdirTemp("", s.Prefix)
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, s.Sweep(dir), os.RemoveAll(dir)) }()
	// Pdeathsig follows the thread that made the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := s.self(stageInit)
	cmd.Env = append(cmd.Env, s.dirEnv()+"="+dir)
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
func (s *Spaces) initProcess() (int, error) {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, unix.SIGTERM)
	if err := settle(); err != nil {
		return 1, err
	}
	cmd := s.self(stageInside)
	if err := cmd.Start(); err != nil {
		return 1, fmt.Errorf("start the program in its namespaces: %w", err)
	}
	passOn(stop, cmd.Process)
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 1, fmt.Errorf("wait for the program in its namespaces: %w", err)
		case pid != cmd.Process.Pid:
		case status.Signaled():
			return 1, fmt.Errorf("the program was ended by signal %d", status.Signal())
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
		return 1, fmt.Errorf("run in namespaces: %w", err)
	}
}
