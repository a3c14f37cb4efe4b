// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package bucket

import (
	"context"
	"io"
	"iter"
	"time"
)

// A Store keeps objects by key. A key is a path of ordinary names
// (see CheckKey). All methods may be called from many goroutines.
//
// Errors are *Error, whose class is one of containerd's errdefs sentinels, or
// the context's error. An implementation does not retry by itself; Retry adds
// that. An object is immutable in effect: whoever writes a key twice writes
// the same bytes, or uses Create.
type Store interface {
	// Check makes sure that the store is there and answers, without writing.
	// ErrNotFound: there is no such bucket or directory.
	Check(ctx context.Context) error

	// Get opens length bytes of an object from offset on; a negative length
	// means all that follow. The reader ends early where the object does: the
	// caller counts. The caller closes it. ErrNotFound: no such object.
	// ErrOutOfRange, or a reader without bytes: offset is not inside of it.
	Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error)

	// Put writes a whole object, size bytes of body, over whatever is there.
	// The object appears complete when Put returns without error; after an
	// error or a cancelled context there is what was there before, or the
	// whole object. It is idempotent and may read body more than once.
	Put(ctx context.Context, key string, body io.ReaderAt, size int64) error

	// Create writes a whole object where there is none. Of any number of
	// writers that race exactly one succeeds. ErrAlreadyExists: there is one;
	// after a lost answer it may be this call's own, which the caller finds
	// out by reading it.
	Create(ctx context.Context, key string, data []byte) error

	// Stat describes an object. ErrNotFound: no such object.
	Stat(ctx context.Context, key string) (Info, error)

	// List yields the objects whose keys begin with prefix, in the order of
	// their keys' bytes. It ends at the first error, which it yields.
	List(ctx context.Context, prefix string) iter.Seq2[Info, error]

	// Delete removes an object. ErrNotFound: there is none, which a caller
	// that tries again takes for success.
	Delete(ctx context.Context, key string) error

	// String returns the store's URL without anything secret.
	String() string

	// Close ends the store's connections.
	Close() error
}

// Info describes an object.
type Info struct {
	Key string
	// Size in bytes.
	Size int64
	// ModTime is when the object was last written, by the store's own clock.
	ModTime time.Time
}
