// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package bucket

import (
	"context"
	"errors"
	"io"
	"iter"
	"math/rand/v2"
	"time"

	"github.com/containerd/errdefs"
)

// A Policy says how often and when a call is tried again.
type Policy struct {
	// Attempts in all, at least 1.
	Attempts int
	// First is the longest pause before the second attempt. Each pause is
	// random between half of its bound and all of it, and the bound doubles up
	// to Longest.
	First, Longest time.Duration
	// Idle is how long an attempt may go without an answer or a byte. An
	// attempt to write gets, on top of it, the time that its size takes at
	// SlowestRate bytes a second.
	Idle        time.Duration
	SlowestRate int64
}

// DefaultPolicy gives up after about half a minute of refusals.
var DefaultPolicy = Policy{
	Attempts: 6, First: 200 * time.Millisecond, Longest: 10 * time.Second,
	Idle: 30 * time.Second, SlowestRate: 256 << 10,
}

// Retry makes the calls of s again where their errors are Temporary. A Get
// whose body breaks off goes on where it ended. A Create that meets its own
// object, because the answer to an earlier attempt was lost, has succeeded.
func Retry(s Store, p Policy) Store { return &retryStore{Store: s, policy: p} }

type retryStore struct {
	Store
	policy Policy
}

// errIdle is the cause of an attempt's end when the store did not answer in time.
var errIdle = errors.New("no answer in time")

// do calls attempt until it succeeds or there is no point. Each attempt has a
// bounded time.
func (s *retryStore) do(ctx context.Context, op, key string, size int64, attempt func(context.Context) error) error {
	limit := s.policy.Idle
	if s.policy.SlowestRate > 0 {
		limit += time.Duration(size/s.policy.SlowestRate) * time.Second
	}
	return s.loop(ctx, func() error {
		bounded, cancel := context.WithTimeoutCause(ctx, limit, errIdle)
		defer cancel()
		err := attempt(bounded)
		if err != nil && ctx.Err() == nil && context.Cause(bounded) == errIdle {
			return &Error{Op: op, Key: key, Store: s.String(), Class: errdefs.ErrUnavailable, Detail: errIdle.Error()}
		}
		return err
	})
}

// loop calls f until it succeeds or its error is not temporary, with pauses.
func (s *retryStore) loop(ctx context.Context, f func() error) error {
	bound := s.policy.First
	for n := 1; ; n++ {
		err := f()
		if err == nil || n >= s.policy.Attempts || !Temporary(err) || ctx.Err() != nil {
			return err
		}
		timer := time.NewTimer(bound/2 + rand.N(bound/2+1))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
		bound = min(2*bound, s.policy.Longest)
	}
}

func (s *retryStore) Check(ctx context.Context) error {
	return s.do(ctx, "check", "", 0, s.Store.Check)
}

func (s *retryStore) Put(ctx context.Context, key string, body io.ReaderAt, size int64) error {
	return s.do(ctx, "put", key, size, func(ctx context.Context) error { return s.Store.Put(ctx, key, body, size) })
}

func (s *retryStore) Create(ctx context.Context, key string, data []byte) error {
	err := s.do(ctx, "create", key, int64(len(data)), func(ctx context.Context) error {
		return s.Store.Create(ctx, key, data)
	})
	if !errors.Is(err, errdefs.ErrAlreadyExists) {
		return err
	}
	// The answer to an earlier attempt, of this loop or of an SDK's own, may
	// have been lost.
	if there, readErr := ReadAll(ctx, s, key, int64(len(data))); readErr == nil && string(there) == string(data) {
		return nil
	}
	return err
}

func (s *retryStore) Stat(ctx context.Context, key string) (info Info, err error) {
	err = s.do(ctx, "stat", key, 0, func(ctx context.Context) error {
		info, err = s.Store.Stat(ctx, key)
		return err
	})
	return info, err
}

func (s *retryStore) Delete(ctx context.Context, key string) error {
	attempts := 0
	err := s.do(ctx, "delete", key, 0, func(ctx context.Context) error {
		attempts++
		return s.Store.Delete(ctx, key)
	})
	if attempts > 1 && errors.Is(err, errdefs.ErrNotFound) {
		return nil // an earlier attempt did it
	}
	return err
}

// List goes on behind the last key that was yielded when it is tried again.
func (s *retryStore) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		last, stopped := "", false
		err := s.loop(ctx, func() error {
			for info, err := range s.Store.List(ctx, prefix) {
				if err != nil {
					return err
				}
				if info.Key <= last {
					continue
				}
				last = info.Key
				if !yield(info, nil) {
					stopped = true
					return nil
				}
			}
			return nil
		})
		if err != nil && !stopped {
			yield(Info{}, err)
		}
	}
}
