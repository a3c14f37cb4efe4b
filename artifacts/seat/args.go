// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"flag"
	"fmt"
	"io"
	"slices"

	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/artifacts/job"
)

// args is what runsc passes on the command line of its checkpoint gofer.
type args struct {
	sock   int
	config int
	allow  job.Mode
	// debugLog is a descriptor for runsc's debug log, or -1.
	debugLog int
}

// Called reports whether argv is runsc starting its checkpoint gofer.
func Called(argv []string) bool {
	return len(argv) > 1 && slices.Contains(argv[1:], job.SeatBinary)
}

// parseArgs reads argv as runsc composes it: its own flags, which say nothing
// to a gofer but where to log, the word "checkpointgofer", and that command's
// flags.
func parseArgs(argv []string) (args, error) {
	i := slices.Index(argv, job.SeatBinary)
	if i < 0 {
		return args{}, fmt.Errorf("parse arguments: no command %q: %w", job.SeatBinary, errdefs.ErrInvalidArgument)
	}
	a := args{debugLog: -1}
	for _, arg := range argv[:i] {
		var fd int
		if n, err := fmt.Sscanf(arg, "--debug-log-fd=%d", &fd); n == 1 && err == nil {
			a.debugLog = fd
		}
	}
	fs := flag.NewFlagSet(job.SeatBinary, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.IntVar(&a.sock, "sock-fd", -1, "connected unix socket")
	fs.IntVar(&a.config, "gcs-opts-fd", -1, "configuration file")
	var reads, writes bool
	fs.BoolVar(&reads, "allow-checkpoint-reads", false, "serve a restore")
	fs.BoolVar(&writes, "allow-checkpoint-writes", false, "take a save")
	if err := fs.Parse(argv[i+1:]); err != nil {
		return args{}, fmt.Errorf("parse arguments: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	switch {
	case fs.NArg() > 0:
		return args{}, fmt.Errorf("parse arguments: unexpected %q: %w", fs.Arg(0), errdefs.ErrInvalidArgument)
	case a.sock < 0 || a.config < 0:
		return args{}, fmt.Errorf("parse arguments: want -sock-fd and -gcs-opts-fd: %w", errdefs.ErrInvalidArgument)
	case reads == writes:
		return args{}, fmt.Errorf("parse arguments: want one of -allow-checkpoint-reads and -allow-checkpoint-writes: %w", errdefs.ErrInvalidArgument)
	case reads:
		a.allow = job.Restore
	default:
		a.allow = job.Save
	}
	return a, nil
}
