// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
)

// flights make one operation of equal requests that come while it is under way.
// The zero value is ready to use.
type flights[T any] struct {
	mu      sync.Mutex
	current *flight[T]
}

// A flight is one operation. It ends early when everybody who waits for its
// answer has gone, and not before.
type flight[T any] struct {
	line   *flights[T]
	cancel context.CancelCauseFunc
	// waiting counts the requests that are not answered yet.
	waiting int
	// answered is closed when value and err are set; ended when the operation is over.
	answered, ended chan struct{}
	value           T
	err             error
	once            sync.Once
	// outcome is how the operation went, whatever was answered; set when ended
	// is closed.
	outcome error
}

func (f *flight[T]) answer(value T, err error) {
	f.once.Do(func() {
		f.value, f.err = value, err
		close(f.answered)
	})
}

// part lets requests that come from now on have an operation of their own. Who
// runs the operation says so before it gives its turn away: after that, what it
// answers need not be true any more.
func (f *flight[T]) part() {
	f.line.mu.Lock()
	defer f.line.mu.Unlock()
	if f.line.current == f {
		f.line.current = nil
	}
}

// do runs the operation, or joins the one that is under way, and returns its
// answer. run may answer its flight before it returns: then every request is
// answered with that, the operation goes on with nobody waiting for it, and has
// to report its own end. Its context ends with those who wait, and has the
// values of the first.
func (f *flights[T]) do(ctx context.Context, run func(context.Context, *flight[T]) (T, error)) (T, error) {
	f.mu.Lock()
	now := f.current
	if now == nil {
		now = &flight[T]{line: f, answered: make(chan struct{}), ended: make(chan struct{})}
		var runCtx context.Context
		runCtx, now.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
		f.current = now
		go f.fly(runCtx, now, run)
	}
	now.waiting++
	f.mu.Unlock()

	select {
	case <-now.answered:
	case <-ctx.Done():
		if !f.leave(now, requestEnded(ctx)) {
			var none T
			return none, requestEnded(ctx)
		}
		// An operation that was given up is answered when it has cleared up.
		<-now.answered
	}
	return now.value, now.err
}

// leave takes one request away from the operation, and says whether it was the
// last: then the operation is given up because of cause.
func (f *flights[T]) leave(now *flight[T], cause error) (last bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now.waiting--
	select {
	case <-now.answered:
		return true
	default:
	}
	if now.waiting > 0 {
		return false
	}
	now.cancel(cause)
	// Who comes next gets an operation of its own; it waits for its turn.
	if f.current == now {
		f.current = nil
	}
	return true
}

func (f *flights[T]) fly(ctx context.Context, now *flight[T], run func(context.Context, *flight[T]) (T, error)) {
	defer close(now.ended)
	defer now.cancel(nil)
	value, err := recovered(ctx, func() (T, error) { return run(ctx, now) })
	now.outcome = err
	now.part()
	now.answer(value, err)
}

// part is the part of the operation under way, for whoever makes its answer untrue.
func (f *flights[T]) part() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.current = nil
}

// underWay returns the operation under way, or nil if there is none.
func (f *flights[T]) underWay() *flight[T] {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.current
}

// recovered calls f. A panic fails the one call that caused it: the sandbox is
// somebody's, and ends with this process.
func recovered[T any](ctx context.Context, f func() (T, error)) (value T, err error) {
	defer func() {
		if p := recover(); p != nil {
			log.G(ctx).WithField("stack", string(debug.Stack())).Errorf("panic: %v", p)
			err = fmt.Errorf("%v: %w", p, errdefs.ErrInternal)
		}
	}()
	return f()
}
