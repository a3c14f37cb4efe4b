// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package gofer runs ateom-gofer as a child process for bulk work and speaks
// package job's wire with it. The shim itself moves no bulk bytes and holds no
// credentials.
package gofer

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/runsc"
)

// maxEvent bounds one line from the gofer: a manifest is at most 1 MiB.
const maxEvent = 8 << 20

// maxStderr bounds what is quoted of a gofer that ended without a word.
const maxStderr = 4 << 10

// A Gofer is one running job.
type Gofer struct {
	cmd    *exec.Cmd
	wait   func() (int, error)
	in     *os.File
	out    *os.File
	events *bufio.Scanner
	stderr *os.File
	stop   func() bool
	ctx    context.Context
}

// Start starts the binary for one job. The process is killed when ctx ends;
// Close must be called.
func Start(ctx context.Context, binary string, starter runsc.Starter) (_ *Gofer, err error) {
	inR, inW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer inR.Close()
	outR, outW, err := os.Pipe()
	if err != nil {
		inW.Close()
		return nil, err
	}
	defer outW.Close()
	stderr, err := os.CreateTemp("", "ateom-gofer-")
	if err != nil {
		inW.Close()
		outR.Close()
		return nil, fmt.Errorf("start gofer: %w", err)
	}
	os.Remove(stderr.Name())

	g := &Gofer{cmd: exec.Command(binary, "job"), in: inW, out: outR, stderr: stderr, ctx: ctx}
	g.cmd.Stdin, g.cmd.Stdout, g.cmd.Stderr = inR, outW, stderr
	// GOMAXPROCS is the shim's own economy.
	g.cmd.Env = append(os.Environ(), "GOMAXPROCS=")
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if g.wait, err = starter.Start(g.cmd); err != nil {
		inW.Close()
		outR.Close()
		stderr.Close()
		return nil, fmt.Errorf("start gofer %s: %w", binary, err)
	}
	g.events = bufio.NewScanner(outR)
	g.events.Buffer(make([]byte, 64<<10), maxEvent)
	g.stop = context.AfterFunc(ctx, g.Kill)
	return g, nil
}

// Send sends a request.
func (g *Gofer) Send(r *job.Request) error {
	told := *r
	told.Version = job.Version
	b, err := json.Marshal(&told)
	if err != nil {
		return fmt.Errorf("encode gofer request: %w", err)
	}
	if _, err := g.in.Write(append(b, '\n')); err != nil {
		return g.died(err)
	}
	return nil
}

// Await returns the next event of the wanted kind. Progress events that come
// before it go to progress, which may be nil; a Failed event becomes an error
// of the errdefs class that it names.
func (g *Gofer) Await(want job.Kind, progress func(*job.Event)) (*job.Event, error) {
	for g.events.Scan() {
		var e job.Event
		if err := json.Unmarshal(g.events.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("decode gofer event: %w: %w", err, errdefs.ErrInternal)
		}
		if e.Version != job.Version {
			return nil, fmt.Errorf("gofer %s answers in version %d of the wire, this shim knows %d; install shim and gofer of one release: %w",
				g.cmd.Path, e.Version, job.Version, errdefs.ErrFailedPrecondition)
		}
		switch e.Kind {
		case want:
			return &e, nil
		case job.Progress:
			if progress != nil {
				progress(&e)
			}
		case job.Failed:
			return nil, &Error{Code: e.Code, Message: e.Error}
		default:
			return nil, fmt.Errorf("gofer sent %q where %q was due: %w", e.Kind, want, errdefs.ErrInternal)
		}
	}
	err := g.events.Err()
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return nil, g.died(err)
}

// died explains a gofer that stopped talking.
func (g *Gofer) died(err error) error {
	if g.ctx.Err() != nil {
		return context.Cause(g.ctx)
	}
	tail := make([]byte, maxStderr)
	n, _ := g.stderr.ReadAt(tail, 0)
	if text := strings.TrimSpace(string(tail[:n])); text != "" {
		return fmt.Errorf("gofer ended: %s: %w", text, errdefs.ErrUnavailable)
	}
	return fmt.Errorf("gofer ended (%w): %w", err, errdefs.ErrUnavailable)
}

// Kill ends the process at once; whoever waits for an event of it is told.
// Close must be called all the same.
func (g *Gofer) Kill() {
	_ = g.cmd.Process.Kill()
	// A child of its own might hold on to the pipes.
	past := time.Unix(1, 0)
	_ = g.out.SetReadDeadline(past)
	_ = g.in.SetWriteDeadline(past)
}

// Close ends the job, whether it is done or not, and waits for the process.
func (g *Gofer) Close() error {
	g.in.Close()
	g.stop()
	// After its last event a gofer has nothing left to do.
	if err := g.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	_, err := g.wait()
	g.out.Close()
	g.stderr.Close()
	return err
}

// Run runs a job of one request.
func Run(ctx context.Context, binary string, starter runsc.Starter, r *job.Request, progress func(*job.Event)) (*job.Event, error) {
	g, err := Start(ctx, binary, starter)
	if err != nil {
		return nil, err
	}
	defer g.Close()
	if err := g.Send(r); err != nil {
		return nil, err
	}
	return g.Await(job.Done, progress)
}

// An Error is a job that failed. Its class is the errdefs error of its code.
type Error struct{ Code, Message string }

func (e *Error) Error() string { return e.Message }

func (e *Error) Unwrap() error {
	if class, ok := classes[e.Code]; ok {
		return class
	}
	return errdefs.ErrInternal
}

// classes are the words of job.Event.Code.
var classes = map[string]error{
	"not_found":           errdefs.ErrNotFound,
	"already_exists":      errdefs.ErrAlreadyExists,
	"invalid_argument":    errdefs.ErrInvalidArgument,
	"failed_precondition": errdefs.ErrFailedPrecondition,
	"unavailable":         errdefs.ErrUnavailable,
	"data_loss":           errdefs.ErrDataLoss,
	"permission_denied":   errdefs.ErrPermissionDenied,
	"unauthenticated":     errdefs.ErrUnauthenticated,
	"not_implemented":     errdefs.ErrNotImplemented,
	"resource_exhausted":  errdefs.ErrResourceExhausted,
	"aborted":             errdefs.ErrAborted,
	"canceled":            context.Canceled,
	"deadline_exceeded":   context.DeadlineExceeded,
}
