// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Command ateom-gofer moves the bytes of snapshots. runsc starts it as its
// checkpoint side-car, the shim as a child for bulk work; it alone holds the
// credentials of a store.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/artifacts/seat"
)

const usage = `usage: ateom-gofer job                  serve one job, on standard input and output
       ateom-gofer check --runsc PATH   prove that runsc and this gofer work together (exit code 3: they do not)
       ateom-gofer -v                   print versions
`

// errMisfit ends the program with exit code 3: runsc and this gofer do not
// speak the same protocol.
var errMisfit = errors.New("checkpoints can be saved and restored through plain files only")

// errUsage ends the program with exit code 2.
var errUsage = errors.New("wrong arguments")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, os.Interrupt)
	err := run(ctx, os.Args, os.Stdin, os.Stdout)
	stop()
	switch {
	case err == nil:
	case errors.Is(err, errUsage):
		fmt.Fprintf(os.Stderr, "ateom-gofer: %v\n%s", err, usage)
		os.Exit(2)
	default:
		fmt.Fprintf(os.Stderr, "ateom-gofer: %v\n", err)
		if errors.Is(err, errMisfit) {
			os.Exit(3)
		}
		os.Exit(1)
	}
}

// run does what argv says.
func run(ctx context.Context, argv []string, stdin io.Reader, stdout io.Writer) error {
	if seat.Called(argv) {
		return seat.Main(ctx, argv, openStore)
	}
	if len(argv) < 2 {
		return fmt.Errorf("no command: %w", errUsage)
	}
	command, ok := commands[argv[1]]
	if !ok {
		return fmt.Errorf("unknown command %q: %w", argv[1], errUsage)
	}
	return command(ctx, argv[2:], stdin, stdout)
}

// A command gets the arguments that follow its name.
type command func(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error

var commands = map[string]command{
	"check":     checkRunsc,
	"job":       serveJob,
	"-v":        printVersion,
	"-version":  printVersion,
	"--version": printVersion,
}
