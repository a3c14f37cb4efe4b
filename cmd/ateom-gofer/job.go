// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/ateom/ateom/artifacts/transfer"
)

// gcPercent is how much garbage a job makes before it is collected, against
// what it uses. Most of that are a commit's packs and batches, which are used
// again and make none: the default would double them.
const gcPercent = 25

// serveJob does one job of package job's, as a child of the shim.
func serveJob(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
	if len(args) > 0 {
		return fmt.Errorf("job takes no arguments, got %q: %w", args, errUsage)
	}
	debug.SetGCPercent(gcPercent)
	return transfer.Serve(ctx, stdin, stdout)
}
