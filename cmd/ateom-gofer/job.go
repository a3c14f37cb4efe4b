// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"

	"github.com/ateom/ateom/artifacts/transfer"
)

// serveJob does one job of package job's, as a child of the shim.
func serveJob(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
	if len(args) > 0 {
		return fmt.Errorf("job takes no arguments, got %q: %w", args, errUsage)
	}
	return transfer.Serve(ctx, stdin, stdout)
}
