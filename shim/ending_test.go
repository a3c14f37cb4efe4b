// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/runsc"
)

// A verb that is cut short says by whom.
func TestAVerbKnowsWhoHasEndedIt(t *testing.T) {
	b := newBench(t)
	root, side := b.addContainer(t, "box"), b.addContainer(t, "side")
	for _, tt := range []struct {
		name string
		end  func(request context.CancelCauseFunc) (undo func())
		is   error
		want string
	}{
		{"Kill", func(context.CancelCauseFunc) func() { return b.sb.overrule(verbKill, root) }, errKilled, "sandbox was killed by a Kill with SIGKILL of container box"},
		{"Delete", func(context.CancelCauseFunc) func() { return b.sb.overrule(verbDelete, root) }, errKilled, "sandbox was killed by a Delete of container box"},
		{"Kill of another container", func(context.CancelCauseFunc) func() { return b.sb.overrule(verbKill, side) }, errMemberKilled, "a container of the sandbox was killed by a Kill with SIGKILL of container side"},
		{"deadline", func(end context.CancelCauseFunc) func() { end(context.DeadlineExceeded); return func() {} }, context.DeadlineExceeded, "the deadline of the request has passed"},
		{"hung up", func(end context.CancelCauseFunc) func() { end(nil); return func() {} }, context.Canceled, "whoever asked has hung up"},
		{"a reason of its own", func(end context.CancelCauseFunc) func() { end(errThawed); return func() {} }, errThawed, errThawed.Error()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			request, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			verb, end, err := b.sb.take(request)
			if err != nil {
				t.Fatal(err)
			}
			defer end()
			defer tt.end(cancel)()
			select {
			case <-verb.Done():
			case <-time.After(time.Minute):
				t.Fatal("the verb goes on")
			}
			if cause := context.Cause(verb); !errors.Is(cause, tt.is) || !strings.Contains(cause.Error(), tt.want) {
				t.Errorf("cause %q, want %q", cause, tt.want)
			}
		})
	}
	// Nor is it called anything else where the request had ended before.
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if verb, end := withReason(ended); !errors.Is(context.Cause(verb), errHungUp) {
		t.Errorf("cause %v", context.Cause(verb))
		end(nil)
	}
}

// What does not answer is said to live, to be stopped or to have ended.
func TestASilentProcessIsDescribed(t *testing.T) {
	sleeper := exec.Command("sleep", "60")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	silent := fmt.Errorf("call it: %w", &runsc.LimitError{Limit: time.Second})
	l := &life{pid: sleeper.Process.Pid}
	want := func(state string) {
		t.Helper()
		text := fmt.Sprintf("call it: no answer within 1s; the sandbox's process (pid %d) %s: kill the sandbox, if it stays so", l.pid, state)
		if err := withState(l, silent); err.Error() != text || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want %s", err, text)
		}
	}
	signal := func(s unix.Signal, options int) {
		t.Helper()
		if err := unix.Kill(l.pid, s); err != nil {
			t.Fatal(err)
		}
		// It has noticed, and stays to be looked at.
		if err := unix.Waitid(unix.P_PID, l.pid, nil, options|unix.WNOWAIT, nil); err != nil {
			t.Fatal(err)
		}
	}
	want("lives")
	signal(unix.SIGSTOP, unix.WSTOPPED)
	want("is stopped")
	signal(unix.SIGKILL, unix.WEXITED)
	want("has ended")
	if err := sleeper.Wait(); err == nil {
		t.Error("it was not killed")
	}
	want("is gone")
	for _, err := range []error{nil, os.ErrNotExist, context.DeadlineExceeded} {
		if got := withState(l, err); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
}
