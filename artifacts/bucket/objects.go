// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package bucket

import "context"

// Objects is a Store with ReadAll and ReadRange as methods, for packages that
// must not link this one and name what they need in an interface of their own.
type Objects struct{ Store }

// ReadAll is the function of that name.
func (o Objects) ReadAll(ctx context.Context, key string, max int64) ([]byte, error) {
	return ReadAll(ctx, o.Store, key, max)
}

// ReadRange is the function of that name.
func (o Objects) ReadRange(ctx context.Context, key string, offset int64, p []byte) error {
	return ReadRange(ctx, o.Store, key, offset, p)
}
