// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"fmt"
	"os"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/pkg/protobuf"
	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/types/known/emptypb"
)

// State answers at once in every state.
func (s *Service) State(_ context.Context, r *taskapi.StateRequest) (*taskapi.StateResponse, error) {
	sb, c, p, err := s.lookupProcess(r.GetID(), r.GetExecID())
	if err != nil {
		return nil, err
	}
	status, at := p.exit()
	return &taskapi.StateResponse{
		ID:         c.id,
		ExecID:     r.GetExecID(),
		Bundle:     c.bundle,
		Pid:        uint32(sb.visiblePid(p)),
		Status:     sb.status(p),
		Stdin:      p.stdio.Stdin,
		Stdout:     p.stdio.Stdout,
		Stderr:     p.stdio.Stderr,
		Terminal:   p.stdio.Terminal,
		ExitStatus: status,
		ExitedAt:   protobuf.ToTimestamp(at),
	}, nil
}

// status is the word that containerd knows for a process of the sandbox.
// Kubernetes has no word for paused and would make the container anew: to it,
// a paused container runs.
func (s *sandbox) status(p *process) tasktypes.Status {
	if p.hasExited() {
		return tasktypes.Status_STOPPED
	}
	if !p.isStarted() {
		return tasktypes.Status_CREATED
	}
	if s.cri {
		return tasktypes.Status_RUNNING
	}
	switch state := s.machine.state(); {
	case state == Paused || state == Resuming || state == Committing && s.currentLife() == nil:
		return tasktypes.Status_PAUSED
	case state == Pausing && s.isBehind():
		return tasktypes.Status_PAUSED // nothing runs any more
	case state == Pausing:
		return tasktypes.Status_PAUSING
	case s.stuck() != nil:
		return tasktypes.Status_PAUSED // nothing runs either
	default:
		return tasktypes.Status_RUNNING
	}
}

// visiblePid is the pid that containerd is told. A paused sandbox has no
// process: the shim stands for it, since containerd takes a task without a
// process for dead.
func (s *sandbox) visiblePid(p *process) int {
	if p.isStarted() && !p.hasExited() && (s.currentLife() == nil || s.machine.state() == Resuming) {
		return os.Getpid()
	}
	return p.hostPid()
}

// Pids lists the processes on the host; there is always one.
func (s *Service) Pids(_ context.Context, r *taskapi.PidsRequest) (*taskapi.PidsResponse, error) {
	sb, c, err := s.lookup(r.GetID())
	if err != nil {
		return nil, err
	}
	pids := []*tasktypes.ProcessInfo{{Pid: uint32(sb.visiblePid(c.init))}}
	for _, e := range c.liveExecs() {
		pids = append(pids, &tasktypes.ProcessInfo{Pid: uint32(e.hostPid())})
	}
	return &taskapi.PidsResponse{Processes: pids}, nil
}

// Connect tells who serves the task.
func (s *Service) Connect(_ context.Context, r *taskapi.ConnectRequest) (*taskapi.ConnectResponse, error) {
	resp := &taskapi.ConnectResponse{ShimPid: uint32(os.Getpid())}
	if sb, c, err := s.lookup(r.GetID()); err == nil {
		resp.TaskPid = uint32(sb.visiblePid(c.init))
	}
	return resp, nil
}

// Wait waits for the end of a process, through any number of pauses.
func (s *Service) Wait(ctx context.Context, r *taskapi.WaitRequest) (*taskapi.WaitResponse, error) {
	_, _, p, err := s.lookupProcess(r.GetID(), r.GetExecID())
	if err != nil {
		return nil, err
	}
	select {
	case <-p.exited:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	status, at := p.exit()
	return &taskapi.WaitResponse{ExitStatus: status, ExitedAt: protobuf.ToTimestamp(at)}, nil
}

// ResizePty sets the size of a process's terminal.
func (s *Service) ResizePty(_ context.Context, r *taskapi.ResizePtyRequest) (*emptypb.Empty, error) {
	_, _, p, err := s.lookupProcess(r.GetID(), r.GetExecID())
	if err != nil {
		return nil, err
	}
	if p.openStreams().Terminal == nil {
		return nil, fmt.Errorf("resize terminal of %s: it has none: %w", r.GetID(), errdefs.ErrFailedPrecondition)
	}
	return &emptypb.Empty{}, p.openStreams().Terminal.Resize(r.GetWidth(), r.GetHeight())
}

// CloseIO gives a process end of file on its stdin.
func (s *Service) CloseIO(_ context.Context, r *taskapi.CloseIORequest) (*emptypb.Empty, error) {
	_, _, p, err := s.lookupProcess(r.GetID(), r.GetExecID())
	if err != nil {
		return nil, err
	}
	if !r.GetStdin() {
		return &emptypb.Empty{}, nil
	}
	return &emptypb.Empty{}, p.openStreams().CloseStdin()
}
