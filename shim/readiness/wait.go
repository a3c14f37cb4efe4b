// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package readiness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sync/errgroup"
)

// interval is from the start of one attempt to that of the next, so that a port
// that opens is noticed within a millisecond or two. A program that answers "not
// yet" is busy getting ready: it is left alone after each attempt for longer and
// longer, up to maxInterval.
const (
	interval    = time.Millisecond
	maxInterval = 20 * time.Millisecond
)

// A Target is the container that probes are tried on.
type Target interface {
	// Dial connects to a TCP port inside the sandbox.
	Dial(ctx context.Context, port uint16) (net.Conn, error)
	// Exec runs a command in the container and returns its exit status.
	Exec(ctx context.Context, command []string) (status int, err error)
}

// A NotReadyError says which probe did not succeed in time.
type NotReadyError struct {
	Probe *Probe
	// Last is the error of the last attempt.
	Last error
}

func (e *NotReadyError) Error() string {
	return fmt.Sprintf("readiness probe %s did not succeed within %s: %v", e.Probe, e.Probe.Limit(), e.Last)
}

func (e *NotReadyError) Unwrap() error { return e.Last }

// Wait returns when every probe has succeeded on the target, or with a
// *NotReadyError of the first that ran out of time, or when ctx ends.
func Wait(ctx context.Context, probes []Probe, target Target) error {
	g, ctx := errgroup.WithContext(ctx)
	for i := range probes {
		g.Go(func() error { return wait(ctx, &probes[i], target) })
	}
	return g.Wait()
}

func wait(ctx context.Context, p *Probe, target Target) error {
	if err := sleep(ctx, p.Delay()); err != nil {
		return err
	}
	limit, cancel := context.WithTimeout(ctx, p.Limit())
	defer cancel()
	pause := interval
	var last error
	for successes := 0; ; {
		began := time.Now()
		err := try(limit, p, target)
		switch {
		case err == nil:
			if successes++; successes >= p.SuccessThreshold {
				return nil
			}
		case limit.Err() == nil || last == nil:
			last, successes = err, 0 // not the one that merely ran out of time, if there is another
		}
		rest := interval - time.Since(began)
		if answered := (*answerError)(nil); errors.As(err, &answered) {
			pause = min(2*pause, maxInterval)
			rest = pause
		}
		if sleep(limit, rest) != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return &NotReadyError{Probe: p, Last: last}
		}
	}
}

// sleep returns after d, or with the cause of ctx's end.
func sleep(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// An attemptError says that an attempt has run out of its time. It is a
// context.DeadlineExceeded.
type attemptError struct{ limit time.Duration }

func (e *attemptError) Error() string {
	return fmt.Sprintf("no answer within %s (timeoutSeconds)", e.limit)
}

func (e *attemptError) Unwrap() error { return context.DeadlineExceeded }

// An answerError is the program's own word that it is not ready.
type answerError struct{ text string }

func (e *answerError) Error() string { return e.text }

func notYet(format string, args ...any) error { return &answerError{fmt.Sprintf(format, args...)} }

// try makes one attempt.
func try(ctx context.Context, p *Probe, target Target) error {
	ctx, cancel := context.WithTimeoutCause(ctx, p.Timeout(), &attemptError{p.Timeout()})
	defer cancel()
	switch {
	case p.TCPSocket != nil:
		conn, err := target.Dial(ctx, uint16(p.TCPSocket.Port))
		if err != nil {
			return err
		}
		return conn.Close()
	case p.HTTPGet != nil:
		return httpGet(ctx, p.HTTPGet, target)
	case p.GRPC != nil:
		return grpcCheck(ctx, p.GRPC, target)
	default:
		status, err := target.Exec(ctx, p.Exec.Command)
		if err == nil && status != 0 {
			err = notYet("exit status %d", status)
		}
		return err
	}
}
