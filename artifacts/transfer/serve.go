// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/containerd/errdefs"
)

// errAbandoned is the cause of a job's end when nobody waits for it any more.
var errAbandoned = errors.New("the caller has closed the job's input")

// progressEvery is how often a Progress event is sent, at most.
const progressEvery = 200 * time.Millisecond

// Serve does one job of package job: requests come from in, events go to out.
// It returns after the last event; its error is what the event Failed said. When in ends the
// job is abandoned. The goroutine that reads in ends with it, which Serve does
// not wait for: close in. Serve sets the environment of a request's store, so
// a process serves one job.
func Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s := &session{requests: make(chan *job.Request), out: json.NewEncoder(out), started: time.Now()}
	go s.read(ctx, in, cancel)

	stopTelling := s.tell()
	done, err := s.serve(ctx)
	stopTelling()
	if err == nil {
		return s.send(done)
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), errdefs.ErrAborted)
	}
	sendErr := s.send(&job.Event{Kind: job.Failed, Code: codeOf(err), Error: err.Error()})
	return errors.Join(err, sendErr)
}

// A session is one job.
type session struct {
	requests chan *job.Request
	started  time.Time // of the step under way
	meter    Meter
	store    *bucket.Counted

	mu  sync.Mutex // guards out
	out *json.Encoder
}

// read hands over the requests until in ends, which abandons the job.
func (s *session) read(ctx context.Context, in io.Reader, cancel context.CancelCauseFunc) {
	dec := json.NewDecoder(in)
	for {
		r := new(job.Request)
		if err := dec.Decode(r); err != nil {
			if !errors.Is(err, io.EOF) {
				err = fmt.Errorf("read request: %w: %w", err, errdefs.ErrInvalidArgument)
			} else {
				err = errAbandoned
			}
			cancel(err)
			return
		}
		select {
		case s.requests <- r:
		case <-ctx.Done():
			return
		}
	}
}

// next waits for the next request.
func (s *session) next(ctx context.Context) (*job.Request, error) {
	select {
	case r := <-s.requests:
		s.started = time.Now()
		return r, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *session) send(e *job.Event) error {
	e.Version, e.Took = job.Version, time.Since(s.started)
	if s.store != nil {
		e.Sent, e.Received = s.store.Sent(), s.store.Received()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Encode(e)
}

// serve does the job and returns its last event.
func (s *session) serve(ctx context.Context) (*job.Event, error) {
	r, err := s.next(ctx)
	if err != nil {
		return nil, err
	}
	if r.Version != job.Version {
		return nil, fmt.Errorf("serve job: it is in version %d of the wire, this gofer knows %d; install shim and gofer of one release: %w",
			r.Version, job.Version, errdefs.ErrFailedPrecondition)
	}
	switch r.Verb {
	case job.Commit:
		return s.commit(ctx, r)
	case job.Seal:
		s.meter.begin("seal")
		parts, err := Seal(ctx, r.Dir, &s.meter)
		if err != nil {
			return nil, err
		}
		return &job.Event{Kind: job.Done, Parts: parts}, nil
	case job.Verify:
		m, err := VerifyLocal(ctx, r.Dir, &s.meter)
		if err != nil {
			return nil, err
		}
		return &job.Event{Kind: job.Done, Manifest: m}, nil
	case job.Fetch:
		return s.fetch(ctx, r)
	}
	return nil, fmt.Errorf("serve job: verb %q is unknown or out of order: %w", r.Verb, errdefs.ErrInvalidArgument)
}

// open opens the store of a request and counts its bytes.
func (s *session) open(ctx context.Context, st job.Store) error {
	store, err := OpenStore(ctx, st)
	if err != nil {
		return err
	}
	s.store = bucket.Count(store)
	return nil
}

func (s *session) fetch(ctx context.Context, r *job.Request) (*job.Event, error) {
	if err := s.open(ctx, r.Store); err != nil {
		return nil, err
	}
	defer s.store.Close()
	m, err := Get(ctx, s.store, r.ID)
	if err != nil {
		return nil, err
	}
	if r.Ask {
		if err := s.send(&job.Event{Kind: job.Ready, Manifest: m}); err != nil {
			return nil, err
		}
		if _, err := s.expect(ctx, job.Bring); err != nil {
			return nil, err
		}
	}
	warnings, err := bring(ctx, s.store, m, r, &s.meter)
	if err != nil {
		return nil, err
	}
	return &job.Event{Kind: job.Done, Manifest: m, Warnings: warnings}, nil
}

// commit is the conversation of a Commit.
func (s *session) commit(ctx context.Context, r *job.Request) (*job.Event, error) {
	if err := s.open(ctx, r.Store); err != nil {
		return nil, err
	}
	defer s.store.Close()
	besideSandboxes.apply()
	c, warnings, err := NewCommit(ctx, s.store, r)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	// Now already: when the next request comes, the sandbox is frozen.
	whileFrozen.apply()
	if err := s.send(&job.Event{Kind: job.Ready, Warnings: warnings}); err != nil {
		return nil, err
	}
	if r, err = s.expect(ctx, job.Capture); err != nil {
		return nil, err
	}
	if err := c.Capture(ctx, r.Dir); err != nil {
		return nil, err
	}
	if err := s.send(&job.Event{Kind: job.Captured}); err != nil {
		return nil, err
	}
	besideSandboxes.apply()
	if r, err = s.expect(ctx, job.Upload); err != nil {
		return nil, err
	}
	m, err := c.Upload(ctx, r.Manifest, &s.meter)
	if err != nil {
		return nil, err
	}
	return &job.Event{Kind: job.Done, Manifest: m, Warnings: append(warnings, c.Warnings()...)}, nil
}

func (s *session) expect(ctx context.Context, verb job.Verb) (*job.Request, error) {
	r, err := s.next(ctx)
	if err != nil {
		return nil, err
	}
	if r.Verb != verb {
		return nil, fmt.Errorf("serve job: verb %q where %q is due: %w", r.Verb, verb, errdefs.ErrInvalidArgument)
	}
	return r, nil
}

// tell sends Progress events while something moves, until the returned
// function is called.
func (s *session) tell() (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(progressEvery)
		defer ticker.Stop()
		var last int64 = -1
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
			}
			phase, bytes, total := s.meter.Read()
			if phase == "" || bytes == last {
				continue
			}
			last = bytes
			// Whoever does not read events does not read the last one either.
			_ = s.send(&job.Event{Kind: job.Progress, Phase: phase, Bytes: bytes, Total: total})
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// codeOf returns the errdefs word of an Event's Code.
func codeOf(err error) string {
	for _, c := range []struct {
		class error
		word  string
	}{
		// Data loss first: an object that is gone is lost, not "not found".
		{errdefs.ErrDataLoss, "data_loss"},
		{errdefs.ErrInvalidArgument, "invalid_argument"},
		{errdefs.ErrNotFound, "not_found"},
		{errdefs.ErrAlreadyExists, "already_exists"},
		{errdefs.ErrNotImplemented, "not_implemented"},
		{errdefs.ErrPermissionDenied, "permission_denied"},
		{errdefs.ErrUnauthenticated, "unauthenticated"},
		{errdefs.ErrResourceExhausted, "resource_exhausted"},
		{errdefs.ErrAborted, "aborted"},
		{errdefs.ErrFailedPrecondition, "failed_precondition"},
		{errdefs.ErrUnavailable, "unavailable"},
		{context.Canceled, "canceled"},
		{context.DeadlineExceeded, "deadline_exceeded"},
	} {
		if errors.Is(err, c.class) {
			return c.word
		}
	}
	return "internal"
}
