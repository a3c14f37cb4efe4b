// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Command bench measures the project beside what people would use instead, and
// says which of its targets it meets. It needs root, runsc and containerd; it
// brings its own PID, mount and network namespaces and leaves nothing behind.
// SIGINT and SIGTERM end it in order; what it started ends with it even if it is
// killed.
//
//	bench [-quick] [-row 2,4] [-out DIR] [-docs FILE]
//
// It writes DIR/bench.json and DIR/bench.html. Exit codes: 0 everything was
// measured, whatever the verdicts; 1 something could not be measured; 2 usage.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/ateom/ateom/e2e/bench/lab"
	"github.com/ateom/ateom/e2e/bench/rows"
)

// options are the command line.
type options struct {
	quick bool
	rows  map[int]bool // nil for all
	out   string
	docs  string
	from  string
	tools tools
}

// tools are the binaries that peers need.
type tools struct {
	runsc, containerd, shim, s3 string
}

func main() {
	if done, err := lab.Hop(); done {
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	opts, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	if opts.from == "" {
		opts.prepare()
		done, code, err := lab.Enter()
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
		if done {
			os.Exit(code)
		}
		if err != nil {
			os.Exit(1)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err = run(ctx, opts)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// prepare makes what needs the host's network. The row that wants it says why
// it cannot be measured if that fails.
func (o options) prepare() {
	if lab.Inside() {
		return
	}
	if o.wants(3) || o.wants(14) {
		if err := lab.EnsureDebian(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, "bench: make a Debian root file system:", err)
		}
	}
	if o.wants(15) {
		// Inside, this is in Go's cache.
		if err := buildUpstream(context.Background(), os.DevNull); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
	}
}

// wants reports whether a row is to be measured.
func (o options) wants(row int) bool { return o.rows == nil || o.rows[row] }

func parse(args []string) (options, error) {
	var o options
	var numbers string
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.BoolVar(&o.quick, "quick", false, "fewer iterations: under ten minutes")
	fs.StringVar(&numbers, "row", "", "measure these rows only: numbers of the table of targets, with commas between")
	fs.StringVar(&o.out, "out", "bin/bench", "write bench.json and bench.html into this `directory`")
	fs.StringVar(&o.docs, "docs", "", "write the run as Markdown into this `file` too")
	fs.StringVar(&o.from, "from", "", "measure nothing: write pages from this bench.json `file`")
	fs.StringVar(&o.tools.runsc, "runsc", "bin/runsc", "the runsc `binary` of all peers")
	fs.StringVar(&o.tools.containerd, "containerd", "bin/tools/containerd", "the containerd `binary` of the peer ateom")
	fs.StringVar(&o.tools.shim, "shim", "bin/containerd-shim-ateom-v1", "the shim `binary` of the peer ateom")
	fs.StringVar(&o.tools.s3, "s3", "bin/tools/versitygw", "the S3 server `binary` of rows about buckets")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("parse arguments: %q is not a flag", fs.Arg(0))
	}
	var err error
	o.rows, err = parseRows(numbers)
	return o, err
}

// parseRows parses "2,4"; the empty string means all rows.
func parseRows(s string) (map[int]bool, error) {
	if s == "" {
		return nil, nil
	}
	chosen := map[int]bool{}
	var errs []error
	for f := range strings.SplitSeq(s, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(f))
		if err != nil {
			errs = append(errs, fmt.Errorf("parse -row: %q is not a number", f))
		} else if !slices.ContainsFunc(rows.All(), func(r rows.Row) bool { return r.ID == n }) {
			errs = append(errs, fmt.Errorf("parse -row: there is no row %d", n))
		}
		chosen[n] = true
	}
	return chosen, errors.Join(errs...)
}
