// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Command checkpointgofer is what runsc starts as its checkpoint side-car:
// ateom-gofer's seat without the clouds' SDKs, so that it starts in a third of
// the time. Where pages come from a store, it lets ateom-gofer take over.
package main

import (
	"context"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/artifacts/seat"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, os.Interrupt)
	err := seat.Main(ctx, os.Args, nil)
	stop()
	if err != nil {
		os.Exit(1) // its descriptors are /dev/null; the status file says why
	}
}
