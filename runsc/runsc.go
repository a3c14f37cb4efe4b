// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package runsc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Time limits of one runsc process. The short verbs take 10–300 ms on an idle
// machine; the limits only turn a hang into an error.
const (
	shortLimit = time.Minute
	longLimit  = 30 * time.Minute
	unbounded  = 1<<63 - 1
)

// A Starter starts a command and reports its exit status. A process that reaps
// every child (a sub-reaper) must supply one that takes part in that; nil
// means plain os/exec.
type Starter interface {
	// Start starts cmd. The returned function waits for its end; a status is
	// the exit code, or 128 + the signal's number.
	Start(cmd *exec.Cmd) (wait func() (status int, err error), err error)
}

// Runsc is a runsc binary with the flags that every call of one sandbox uses.
// Its methods may be called from several goroutines.
type Runsc struct {
	// Binary is the path of runsc.
	Binary string
	// Root is runsc's --root: where it keeps the state of its containers.
	Root string
	// Log is the file that runsc appends its messages to, one JSON object a
	// line. An error of any method quotes what the call added to it.
	Log string
	// PanicLog is the file that the sandbox's process writes to when it dies of
	// itself: Go's reports of panics, and why it could not boot. An error of any
	// method quotes it. Whoever makes a sandbox calls ForgetWords before.
	PanicLog string
	// Flags are global flags, each "--name=value".
	Flags []string
	// Env is added to the environment of every call.
	Env []string
	// Starter starts the processes; see its documentation.
	Starter Starter
}

// IO are the standard streams of a container's process. A nil file is
// /dev/null. The caller closes them; runsc and the sandbox hold copies.
type IO struct {
	Stdin, Stdout, Stderr *os.File
}

// command describes one call.
type command struct {
	args   []string
	io     IO
	stdin  *os.File // of runsc itself, where io is not a container's
	limit  time.Duration
	attr   *unix.SysProcAttr
	output bool // return what runsc prints
}

// run runs the command to its end and returns what it printed, if asked for.
func (r *Runsc) run(ctx context.Context, c command) ([]byte, error) {
	if c.limit == 0 {
		c.limit = shortLimit
	}
	ctx, cancel := Within(ctx, c.limit)
	defer cancel()

	cmd, closers, err := r.prepare(ctx, c)
	if err != nil {
		return nil, err
	}
	defer closers.close()

	// runsc's children inherit its streams and outlive it, so that only a file
	// (never a pipe that is read to its end) may stand there.
	var out *os.File
	if c.output {
		if out, err = tempFile(); err != nil {
			return nil, err
		}
		defer out.Close()
		cmd.Stdout = out
	}
	mark := r.logSize()
	wait, err := r.start(cmd)
	if err != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("start runsc %s: %w", c.args[0], err)
	}
	var status int
	if err == nil {
		status, err = wait()
	}
	if err == nil && status == 0 {
		if out == nil {
			return nil, nil
		}
		return readBack(out)
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return nil, r.failed(c.args[0], status, err, mark)
}

// prepare makes the exec.Cmd; every stream of it is a real file.
func (r *Runsc) prepare(ctx context.Context, c command) (*exec.Cmd, closerList, error) {
	args := []string{"--root=" + r.Root}
	if r.PanicLog != "" {
		args = append(args, "--panic-log="+r.PanicLog)
	}
	if r.Log != "" {
		args = append(args, "--log="+r.Log, "--log-format=json")
	}
	args = append(args, r.Flags...)
	args = append(args, c.args...)

	cmd := exec.CommandContext(ctx, r.Binary, args...)
	cmd.Env = append(os.Environ(), r.Env...)
	cmd.SysProcAttr = c.attr
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	or := func(f *os.File) *os.File {
		if f == nil {
			return null
		}
		return f
	}
	stdin := c.io.Stdin
	if c.stdin != nil {
		stdin = c.stdin
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = or(stdin), or(c.io.Stdout), or(c.io.Stderr)
	return cmd, closerList{null}, nil
}

func (r *Runsc) start(cmd *exec.Cmd) (func() (int, error), error) {
	if r.Starter != nil {
		return r.Starter.Start(cmd)
	}
	return Plain{}.Start(cmd)
}

// Plain is the Starter of a process that reaps nobody else's children.
type Plain struct{}

// Start implements Starter by os/exec.
func (Plain) Start(cmd *exec.Cmd) (func() (int, error), error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() (int, error) {
		err := cmd.Wait()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return waitStatus(unix.WaitStatus(exit.Sys().(syscall.WaitStatus))), nil
		}
		return 0, err
	}, nil
}

// waitStatus flattens a status as shells and containerd do.
func waitStatus(ws unix.WaitStatus) int {
	if ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return ws.ExitStatus()
}

// With returns a copy of r that has more environment variables.
func (r *Runsc) With(env ...string) *Runsc {
	c := *r
	c.Env = append(slices.Clip(r.Env), env...)
	return &c
}

// ControlSocket returns the path of the control socket of the sandbox whose
// root container is id.
func (r *Runsc) ControlSocket(id string) string {
	return filepath.Join(r.Root, "runsc-"+id+".sock")
}

type closerList []io.Closer

func (l closerList) close() {
	for _, c := range l {
		c.Close()
	}
}

// tempFile returns a file without a name.
func tempFile() (*os.File, error) {
	fd, err := unix.MemfdCreate("runsc-output", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create memfd: %w", err)
	}
	return os.NewFile(uintptr(fd), "runsc-output"), nil
}

func readBack(f *os.File) ([]byte, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return io.ReadAll(f)
}
