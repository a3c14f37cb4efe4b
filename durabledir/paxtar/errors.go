// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package paxtar

import (
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
)

// Why an archive is refused: the Reason of an *Error.
var (
	// ErrFormat: a header is not a ustar header.
	ErrFormat = errors.New("malformed header")
	// ErrType: an entry of a type that volumes do not have.
	ErrType = errors.New("unsupported entry type")
	// ErrName: a name that is absolute, leaves the archive, or cannot be a file's.
	ErrName = errors.New("illegal name")
	// ErrRecord: a pax record is malformed, unknown, repeated or out of place.
	ErrRecord = errors.New("illegal pax record")
	// ErrSize: two places disagree on an entry's size.
	ErrSize = errors.New("sizes disagree")
	// ErrSparse: the map of a sparse file is malformed.
	ErrSparse = errors.New("illegal sparse map")
	// ErrTruncated: the archive ends early.
	ErrTruncated = errors.New("truncated archive")
	// ErrTrailing: something follows the archive's end.
	ErrTrailing = errors.New("data after the end of the archive")
)

// An Error says why an archive is refused, and where. It is an
// errdefs.ErrDataLoss, besides its Reason.
type Error struct {
	Offset int64  // of the header that is at fault
	Name   string // of the entry, if it is known
	Reason error
	Detail string
}

func (e *Error) Error() string {
	s := fmt.Sprintf("read archive at byte %d", e.Offset)
	if e.Name != "" {
		s += fmt.Sprintf(", entry %q", e.Name)
	}
	s += ": " + e.Reason.Error()
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}

// Unwrap serves errors.Is.
func (e *Error) Unwrap() []error { return []error{e.Reason, errdefs.ErrDataLoss} }
