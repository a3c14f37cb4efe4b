// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Command ateom-agent is the node agent: it serves what the shims of a node
// have noted as Prometheus metrics. See docs/operations.md.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/cmd/ateom-agent/serve"
)

// version is stamped by the build.
var version = "unknown"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, os.Interrupt)
	err := newApp(os.Stdout, os.Stderr).RunContext(ctx, os.Args)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "ateom-agent:", err)
		os.Exit(1)
	}
}

func newApp(stdout, stderr io.Writer) *cli.App {
	return &cli.App{
		Name:           "ateom-agent",
		Usage:          "the view of a node's sandboxes",
		Version:        version,
		Commands:       []*cli.Command{serve.Command(version)},
		Writer:         stdout,
		ErrWriter:      stderr,
		ExitErrHandler: func(*cli.Context, error) {}, // main exits
	}
}
