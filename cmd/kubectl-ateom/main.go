// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Command kubectl-ateom is a plugin of kubectl: kubectl ateom pause, commit,
// resume, status and snapshots. See docs/kubernetes.md.
package main

import (
	"context"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/cmd/kubectl-ateom/plugin"
)

// version is stamped by the build.
var version = "unknown"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, os.Interrupt)
	code := plugin.Run(ctx, version, os.Args, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
