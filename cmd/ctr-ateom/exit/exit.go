// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package exit says how the commands end: the exit codes, and how an error is
// told to a person and to a program.
package exit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/containerd/errdefs"
)

// Exit codes. `run` in the foreground ends with the program's own status instead.
const (
	OK          = 0 // done
	Failure     = 1 // failed, for a reason that no other code names
	Usage       = 2 // the command line or a value in it is wrong; nothing was tried
	NotFound    = 3 // no such container, task, snapshot, store or image
	State       = 4 // the sandbox or the store is not in a state that allows it
	Unavailable = 5 // containerd, a sandbox or a store does not answer, or not in time
	Corrupt     = 6 // bytes are not what they should be
	Denied      = 7 // not allowed: missing privileges or credentials
)

// kinds ties an error's class to its exit code and to the word that --json
// prints for it. The first match counts.
var kinds = []struct {
	is   func(error) bool
	code int
	word string
}{
	{errdefs.IsInvalidArgument, Usage, "invalid_argument"},
	{errdefs.IsOutOfRange, Usage, "invalid_argument"},
	{errdefs.IsNotFound, NotFound, "not_found"},
	{errdefs.IsAlreadyExists, State, "already_exists"},
	{errdefs.IsFailedPrecondition, State, "failed_precondition"},
	{errdefs.IsAborted, State, "aborted"},
	{errdefs.IsConflict, State, "conflict"},
	{errdefs.IsDataLoss, Corrupt, "data_loss"},
	{errdefs.IsPermissionDenied, Denied, "permission_denied"},
	{errdefs.IsUnauthorized, Denied, "unauthenticated"},
	{func(err error) bool { return errors.Is(err, fs.ErrPermission) }, Denied, "permission_denied"},
	{errdefs.IsDeadlineExceeded, Unavailable, "deadline_exceeded"},
	{errdefs.IsUnavailable, Unavailable, "unavailable"},
	{func(err error) bool { return errors.Is(err, fs.ErrNotExist) }, NotFound, "not_found"},
	{errdefs.IsResourceExhausted, Failure, "resource_exhausted"},
	{errdefs.IsNotImplemented, Failure, "unimplemented"},
	{errdefs.IsInternal, Failure, "internal"},
	{func(err error) bool { return errors.Is(err, context.Canceled) }, Failure, "canceled"},
}

// Code returns the exit code for err.
func Code(err error) int {
	if err == nil {
		return OK
	}
	for _, k := range kinds {
		if k.is(err) {
			return k.code
		}
	}
	return Failure
}

// Word returns the class of err as --json prints it.
func Word(err error) string {
	for _, k := range kinds {
		if k.is(err) {
			return k.word
		}
	}
	return "unknown"
}

// hinted carries advice beside an error. The advice is no part of its text.
type hinted struct {
	error
	hint string
}

func (h *hinted) Unwrap() error { return h.error }

// WithHint attaches advice to err: one sentence that says what to do.
func WithHint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &hinted{err, fmt.Sprintf(format, args...)}
}

// Hint returns the outermost advice attached to err, or "".
func Hint(err error) string {
	var h *hinted
	if errors.As(err, &h) {
		return h.hint
	}
	return ""
}

// Usagef returns an error about the command line.
func Usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// A usageError is an invalid argument that says so by itself: errdefs' own
// words are not added to its text.
type usageError struct{ text string }

func (e *usageError) Error() string   { return e.text }
func (e *usageError) Is(t error) bool { return t == errdefs.ErrInvalidArgument }
