// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package runsc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// execPoll is how often Exec looks for the pid file that says that the process
// runs, and execLimit how long. runsc itself allows 10 s.
const (
	execPoll  = time.Millisecond
	execLimit = 15 * time.Second
	// abandonLimit is how long a start that is given up may still say which process it
	// has started: nobody can end one that is not known, and it would run on.
	abandonLimit = 500 * time.Millisecond
)

// A Process runs in a container beside its first one.
type Process struct {
	// HostPid is the runsc process that stands for it on the host.
	HostPid int
	// Pid is its id inside the container.
	Pid int
	// Wait waits for its end, or that of ctx, and returns its exit status. It may be
	// called several times.
	Wait func(ctx context.Context) (status int, err error)
}

// Exec starts a process in a running container. dir is an existing directory
// for its pid file and process description. With terminal, io.Stdin must be
// the replica of a pseudo terminal, which becomes all three streams. A process that
// has started is returned also if ctx ended meanwhile.
func (r *Runsc) Exec(ctx context.Context, id, dir string, spec *specs.Process, io IO) (*Process, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("runsc exec: %w", context.Cause(ctx))
	}
	specFile := filepath.Join(dir, "process.json")
	pidFile := filepath.Join(dir, "internal.pid")
	b, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("encode process: %w", err)
	}
	if err := os.WriteFile(specFile, b, 0o600); err != nil {
		return nil, fmt.Errorf("write process: %w", err)
	}
	c := command{args: []string{"exec", "--process", specFile, "--internal-pid-file", pidFile, id}, io: io}
	if spec.Terminal {
		c.io = IO{Stdin: io.Stdin, Stdout: io.Stdin, Stderr: io.Stdin}
		c.attr = &unix.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	}
	// The process outlives this call, so that the caller's context must not end it.
	cmd, closers, err := r.prepare(context.WithoutCancel(ctx), c)
	if err != nil {
		return nil, err
	}
	defer closers.close()
	mark := r.logSize()
	wait, err := r.start(cmd)
	if err != nil {
		return nil, fmt.Errorf("start runsc exec: %w", err)
	}

	type end struct {
		status int
		err    error
	}
	ended := make(chan end, 1)
	go func() {
		status, err := wait()
		ended <- end{status, err}
	}()
	p := &Process{HostPid: cmd.Process.Pid}
	p.Wait = func(ctx context.Context) (int, error) {
		select {
		case e := <-ended:
			ended <- e
			return e.status, e.err
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}

	limit := time.NewTimer(execLimit)
	defer limit.Stop()
	tick := time.NewTicker(execPoll)
	defer tick.Stop()
	givenUp := ctx.Done()
	var why error = &LimitError{execLimit}
	for {
		if p.Pid, err = readPid(pidFile); err == nil {
			return p, nil
		}
		select {
		case <-tick.C:
		case e := <-ended:
			ended <- e
			// It may have started and ended between two looks.
			if p.Pid, err = readPid(pidFile); err == nil {
				return p, nil
			}
			return nil, r.failed("exec", e.status, e.err, mark)
		case <-givenUp:
			givenUp, why = nil, context.Cause(ctx)
			limit.Reset(abandonLimit)
		case <-limit.C:
			return nil, r.failed("exec", 0, abandon(cmd.Process, why), mark)
		}
	}
}

// abandon kills a runsc that has started nothing and returns why.
func abandon(p *os.Process, why error) error {
	if err := p.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		why = errors.Join(why, err)
	}
	return why
}
