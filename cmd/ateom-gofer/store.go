// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/artifacts/seat"
	"github.com/ateom/ateom/artifacts/transfer"
)

// openStore opens a store for a seat.
func openStore(ctx context.Context, st job.Store) (seat.Store, error) {
	s, err := transfer.OpenStore(ctx, st)
	if err != nil {
		return nil, err
	}
	return bucket.Objects{Store: s}, nil
}
