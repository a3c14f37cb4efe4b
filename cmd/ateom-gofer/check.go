// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/artifacts/seat"
)

// findSidecar returns the program that runsc would start: in gvisor-bin/
// beside this one, or else this one.
func findSidecar() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this program: %w", err)
	}
	sidecar := filepath.Join(filepath.Dir(self), "gvisor-bin", job.SeatBinary)
	if _, err := os.Stat(sidecar); errors.Is(err, fs.ErrNotExist) {
		return self, nil
	}
	return sidecar, nil
}

// checkRunsc proves that a runsc works with this gofer.
func checkRunsc(ctx context.Context, args []string, _ io.Reader, stdout io.Writer) error {
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	trust := flags.Bool("trust-versions", false, "try only what does not say what it is built from")
	runsc := flags.String("runsc", "", "path of runsc")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("check: %w: %w", err, errUsage)
	}
	if *runsc == "" || flags.NArg() > 0 {
		return fmt.Errorf("check: want --runsc PATH and nothing else: %w", errUsage)
	}
	proof := seat.Trial
	if *trust {
		proof = seat.TrustVersions
	}
	sidecar, err := findSidecar()
	if err != nil {
		return err
	}
	if err := seat.Check(ctx, *runsc, sidecar, proof); err != nil {
		if errdefs.IsFailedPrecondition(err) {
			err = fmt.Errorf("%w; %w", err, errMisfit)
		}
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s and this gofer speak the same protocol\n", *runsc)
	return err
}
