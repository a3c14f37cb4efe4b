// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/containerd/console"
	eventstypes "github.com/containerd/containerd/api/events"
	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/ateom/ateom/runsc"
	"github.com/ateom/ateom/shim/stdio"
)

// noIO are no streams at all.
var noIO = runsc.IO{}

// An execution is a process that was exec'd into a container.
type execution struct {
	*process
	spec *specs.Process
	// inner is its pid inside the sandbox, set when it is started.
	inner int
}

// Exec adds a process to a running container; Start starts it.
func (s *Service) Exec(ctx context.Context, r *taskapi.ExecProcessRequest) (*emptypb.Empty, error) {
	sb, c, err := s.lookup(r.GetID())
	if err != nil {
		return nil, err
	}
	if err := refuse(verbExec, c.id, sb.column(c.init)); err != nil {
		return nil, err
	}
	if r.GetExecID() == "" {
		return nil, fmt.Errorf("exec in %s: no exec id: %w", c.id, errdefs.ErrInvalidArgument)
	}
	var spec specs.Process
	if err := json.Unmarshal(r.GetSpec().GetValue(), &spec); err != nil {
		return nil, fmt.Errorf("decode process of exec %s: %w: %w", r.GetExecID(), err, errdefs.ErrInvalidArgument)
	}
	spec.Terminal = r.GetTerminal()
	streams := stdio.Config{Stdin: r.GetStdin(), Stdout: r.GetStdout(), Stderr: r.GetStderr(), Terminal: r.GetTerminal(), ID: c.id, Namespace: s.namespace}
	e := &execution{process: newProcess(r.GetExecID(), streams, &stdio.Streams{}), spec: &spec}
	if err := c.addExec(e); err != nil {
		return nil, err
	}
	s.events.put(&eventstypes.TaskExecAdded{ContainerID: c.id, ExecID: r.GetExecID()})
	return &emptypb.Empty{}, nil
}

// startExec starts an exec'd process; the sandbox must run.
func (s *Service) startExec(ctx context.Context, sb *sandbox, c *container, execID string) (err error) {
	e, err := c.exec(execID)
	if err != nil {
		return err
	}
	streams, err := stdio.Open(ctx, e.stdio)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			streams.Close()
		}
	}()
	io := runsc.IO{Stdin: streams.Stdin, Stdout: streams.Stdout, Stderr: streams.Stderr}
	if streams.Terminal != nil {
		master, replica, err := newPty()
		if err != nil {
			return err
		}
		defer replica.Close()
		if err := streams.Terminal.Attach(master); err != nil {
			return err
		}
		io = runsc.IO{Stdin: replica}
	}
	dir, err := os.MkdirTemp(sb.scratch, "exec-")
	if err != nil {
		return fmt.Errorf("start process %s: %w", execID, err)
	}
	p, err := sb.runsc.Exec(ctx, c.id, dir, e.spec, io)
	if err != nil {
		os.RemoveAll(dir)
		return withState(sb.currentLife(), fmt.Errorf("start process %s in %s: %w", execID, c.id, err))
	}
	e.setStreams(streams)
	e.inner = p.Pid
	e.setStarted(p.HostPid)
	s.events.put(&eventstypes.TaskExecStarted{ContainerID: c.id, ExecID: execID, Pid: uint32(p.HostPid)})
	go func() {
		status, err := p.Wait(context.WithoutCancel(ctx))
		os.RemoveAll(dir)
		if err != nil {
			log.L.WithError(err).WithField("exec", execID).Warn("wait for exec")
			status = killedStatus
		}
		s.execExited(c, e, status)
	}()
	return nil
}

// execExited reports the end of an exec'd process.
func (s *Service) execExited(c *container, e *execution, status int) {
	if e.finish(status) {
		s.events.put(exitEvent(c.id, e.process))
	}
}

// endExecs ends the runscs that stand for exec'd processes. They would take the end of
// the sandbox for a failure, with a status of their own, and write that where the
// process has written.
func (s *Service) endExecs(ctx context.Context, live []*container) {
	for _, c := range live {
		for _, e := range c.liveExecs() {
			if err := s.processes.Kill(e.hostPid()); err != nil {
				log.G(ctx).WithError(err).WithField("exec", e.execID).Warn("end exec")
			}
		}
	}
}

// newPty makes a pseudo terminal.
func newPty() (master, replica *os.File, err error) {
	m, path, err := console.NewPty()
	if err != nil {
		return nil, nil, fmt.Errorf("make terminal: %w", err)
	}
	defer m.Close()
	// The console's own file is in blocking mode; copying wants the poller.
	fd, err := unix.FcntlInt(m.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make terminal: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, nil, fmt.Errorf("make terminal: %w", err)
	}
	master = os.NewFile(uintptr(fd), "terminal")
	replica, err = os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		master.Close()
		return nil, nil, fmt.Errorf("open terminal: %w", err)
	}
	return master, replica, nil
}
