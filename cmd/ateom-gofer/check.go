// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/ateom/ateom/artifacts/seat"
)

// checkRunsc proves that a runsc works with this gofer.
func checkRunsc(ctx context.Context, args []string, _ io.Reader, stdout io.Writer) error {
	fs := flag.NewFlagSet("check", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	runsc := fs.String("runsc", "", "path of runsc")
	if err := fs.Parse(args); err != nil {
		return fmt.Errorf("check: %w: %w", err, errUsage)
	}
	if *runsc == "" || fs.NArg() > 0 {
		return fmt.Errorf("check: want --runsc PATH and nothing else: %w", errUsage)
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	if err := seat.Check(ctx, *runsc, self); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s and this gofer speak the same protocol\n", *runsc)
	return err
}
