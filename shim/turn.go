// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/containerd/log"
)

// What changes a sandbox as a whole takes turns; Kill and Delete win over who has
// the turn and who waits for it.

// Why a verb ends that something wins over; by what, is said where they are used.
var (
	// errKilled: the sandbox's process is being killed.
	errKilled = errors.New("sandbox was killed")
	// errMemberKilled: one of its containers is; the others run on.
	errMemberKilled = errors.New("a container of the sandbox was killed")
)

// Why a verb ends whose request does.
var (
	errTooLate = fmt.Errorf("the deadline of the request has passed, which containerd or its client has set: %w", context.DeadlineExceeded)
	errHungUp  = fmt.Errorf("whoever asked has hung up: %w", context.Canceled)
)

// requestEnded is why the context of a request has ended.
func requestEnded(ctx context.Context) error {
	switch cause := context.Cause(ctx); {
	case cause == context.DeadlineExceeded:
		return errTooLate
	case cause == context.Canceled:
		return errHungUp
	default:
		return cause
	}
}

// withReason is ctx with an end of its own, whose cause is never a bare one.
func withReason(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	if ctx.Err() != nil {
		done, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
		cancel(requestEnded(ctx))
		return done, cancel
	}
	given, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { cancel(requestEnded(ctx)) })
	return given, func(cause error) {
		stop()
		cancel(cause)
	}
}

// begin waits until no other verb is under way, and refuses v where rules
// does. The returned context ends with ctx or when the sandbox is killed; end
// must be called.
func (s *sandbox) begin(ctx context.Context, v verb) (verbCtx context.Context, end func(), err error) {
	if err := s.check(v); err != nil {
		return ctx, nil, err
	}
	verbCtx, end, err = s.take(ctx)
	if err != nil {
		return ctx, nil, err
	}
	// The verb that was under way may have left another state, or ended because
	// of what waits behind this one and wins.
	if err = s.check(v); err == nil {
		if cause := s.overruledBy(); cause != nil {
			err = fmt.Errorf("%s %s: %w", v, s.id, cause)
		}
	}
	if err != nil {
		end()
		return ctx, nil, err
	}
	return verbCtx, end, nil
}

// take is begin for what wins in every state.
func (s *sandbox) take(ctx context.Context) (verbCtx context.Context, end func(), err error) {
	select {
	case s.verb <- struct{}{}:
	case <-ctx.Done():
		return ctx, nil, fmt.Errorf("wait for the verb under way (sandbox is %s): %w", s.machine.state(), requestEnded(ctx))
	}
	verbCtx, cancel := withReason(ctx)
	overruled, overrule := context.WithCancelCause(context.WithoutCancel(ctx))
	s.mu.Lock()
	s.interrupt = func(cause error) { cancel(cause); overrule(cause) }
	s.overruled = overruled
	s.mu.Unlock()
	rouse()
	return verbCtx, func() {
		s.mu.Lock()
		s.interrupt = nil
		s.mu.Unlock()
		cancel(nil)
		overrule(nil)
		if s.machine.state() == Paused {
			rest()
		}
		<-s.verb
		s.deliverKept()
	}, nil
}

// tryTake takes the turn if nobody has it, for what is over in a moment: nothing
// interrupts it.
func (s *sandbox) tryTake() (end func(), ok bool) {
	select {
	case s.verb <- struct{}{}:
	default:
		return nil, false
	}
	return func() {
		<-s.verb
		s.deliverKept()
	}, true
}

// overrule ends the verb under way because v kills c, and those that wait for
// their turn as soon as they have it, until done is called.
func (s *sandbox) overrule(v verb, c *container) (done func()) {
	cause := errMemberKilled
	if c.isRoot(s) {
		cause = errKilled
	}
	cause = fmt.Errorf("%w by a %s of container %s", cause, v, c.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.overruling = append(s.overruling, cause)
	if s.interrupt != nil {
		s.interrupt(cause)
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		i := slices.Index(s.overruling, cause)
		s.overruling = slices.Delete(s.overruling, i, i+1)
	}
}

// overruledBy is why no verb may begin, or nil.
func (s *sandbox) overruledBy() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.overruling) == 0 {
		return nil
	}
	return s.overruling[0]
}

// outlasting is ctx without its end, for what the verb under way owes, whatever has
// ended it: it ends when something has won over the verb for as long as grace, or
// when done is called.
func (s *sandbox) outlasting(ctx context.Context, grace time.Duration) (owed context.Context, done func()) {
	owed, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	s.mu.Lock()
	overruled := s.overruled
	s.mu.Unlock()
	go func() {
		select {
		case <-overruled.Done():
		case <-owed.Done():
			return
		}
		select {
		case <-time.After(grace):
			cancel(context.Cause(overruled))
		case <-owed.Done():
		}
	}()
	return owed, func() { cancel(nil) }
}

// setBehind notes how to end a save that goes on behind its answer; nil when
// none does any more.
func (s *sandbox) setBehind(cut context.CancelCauseFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behind = cut
}

// cutBehind ends a save that goes on behind its answer, if there is one.
func (s *sandbox) cutBehind(cause error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.behind == nil {
		return false
	}
	s.behind(cause)
	return true
}

// isBehind says whether a pause was answered whose save goes on.
func (s *sandbox) isBehind() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.behind != nil
}

// begun is for work outside of any turn: its context ends with ctx, or when the
// sandbox is deleted. done must be called when nothing of it is left.
func (s *sandbox) begun(ctx context.Context) (workCtx context.Context, done func()) {
	s.work.Add(1)
	workCtx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.there, func() { cancel(fmt.Errorf("%w by a %s", errKilled, verbDelete)) })
	return workCtx, func() {
		stop()
		cancel(nil)
		s.work.Done()
	}
}

// endWork ends what goes on outside of any turn, and waits for it.
func (s *sandbox) endWork(ctx context.Context) {
	s.gone()
	ended := make(chan struct{})
	go func() {
		s.work.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		log.G(ctx).Warn("work of a sandbox that is deleted does not end")
	}
}
