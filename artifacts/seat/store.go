// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"context"
	"fmt"
	"os"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/artifacts/job"
)

// A Store is where pages lie that are not on this node. It has the methods of
// bucket.Objects, whose package this one must not link: to initialise the
// clouds' SDKs takes a program longer than to start without them.
type Store interface {
	ReadAll(ctx context.Context, key string, max int64) ([]byte, error)
	ReadRange(ctx context.Context, key string, offset int64, p []byte) error
	Create(ctx context.Context, key string, data []byte) error
	String() string
	Close() error
}

// An Opener opens a configured store.
type Opener func(context.Context, job.Store) (Store, error)

// become replaces this program, which cannot open stores, by the gofer that
// can, with the same arguments and descriptors. It returns only an error.
func become(gofer string, argv []string) error {
	if gofer == "" {
		return fmt.Errorf("open store: this program cannot, and %s names no gofer that can: %w", job.SeatFile, errdefs.ErrFailedPrecondition)
	}
	if err := unix.Exec(gofer, argv, os.Environ()); err != nil {
		return fmt.Errorf("start %s: %w", gofer, err)
	}
	return nil
}
