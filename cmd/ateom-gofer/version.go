// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"runtime"

	"github.com/ateom/ateom/artifacts/seat"
)

// version is set by the linker.
var version = "unreleased"

// printVersion prints what was built, and from which gVisor: the gofer must be
// of the same commit as runsc.
func printVersion(_ context.Context, _ []string, _ io.Reader, stdout io.Writer) error {
	_, err := fmt.Fprintf(stdout, "ateom-gofer %s\ngVisor %s\n%s %s/%s\n",
		version, seat.GVisorVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
