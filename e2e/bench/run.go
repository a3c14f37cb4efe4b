// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/ateom/ateom/e2e/bench/lab"
	"github.com/ateom/ateom/e2e/bench/peers"
	"github.com/ateom/ateom/e2e/bench/report"
	"github.com/ateom/ateom/e2e/bench/roof"
	"github.com/ateom/ateom/e2e/bench/rows"
)

// run measures, or reads what was measured before, and writes the pages.
func run(ctx context.Context, o options) error {
	var r *report.Report
	var err error
	if o.from != "" {
		r, err = read(o.from)
	} else {
		r, err = measure(ctx, o)
	}
	if r == nil {
		return err
	}
	return errors.Join(err, publish(r, o), report.WriteVerdicts(os.Stdout, r))
}

func read(path string) (*report.Report, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return report.ReadJSON(f)
}

// publish writes the report's files.
func publish(r *report.Report, o options) error {
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	pages := []struct {
		path  string
		write func(io.Writer) error
	}{
		{filepath.Join(o.out, "bench.json"), r.WriteJSON},
		{filepath.Join(o.out, "bench.html"), r.WriteHTML},
		{o.docs, r.WriteMarkdown},
	}
	for _, p := range pages {
		if p.path == "" {
			continue
		}
		f, err := os.Create(p.path)
		if err != nil {
			return err
		}
		if err := errors.Join(p.write(f), f.Close()); err != nil {
			return fmt.Errorf("write %s: %w", p.path, err)
		}
	}
	return nil
}

// measure runs the rows. A row that fails is in the report as far as it got,
// and in the error.
func measure(ctx context.Context, o options) (_ *report.Report, err error) {
	started := time.Now()
	dir := lab.Dir()
	if err := o.tools.resolve(); err != nil {
		return nil, err
	}
	r := &report.Report{Version: version(), Started: started.UTC(), Quick: o.quick}
	if r.Machine, err = roof.Describe(dir, o.tools.runsc); err != nil {
		return nil, err
	}
	fmt.Fprintln(os.Stderr, "roof: what the machine can do at best")
	if r.Roof, err = roof.Measure(ctx, dir, o.tools.runsc); err != nil {
		return nil, err
	}
	b, err := setUp(ctx, dir, o)
	if err != nil {
		return nil, err
	}
	b.Roof = r.Roof
	defer func() { err = errors.Join(err, tearDown(b)) }()
	var errs []error
	for _, row := range rows.All() {
		if !o.wants(row.ID) || ctx.Err() != nil {
			continue
		}
		fmt.Fprintf(os.Stderr, "row %d: %s\n", row.ID, row.Title)
		began := time.Now()
		got, err := row.Run(ctx, b)
		if err != nil {
			errs = append(errs, fmt.Errorf("measure row %d: %w", row.ID, err))
			continue
		}
		got.ID, got.Title = row.ID, row.Title
		fmt.Fprintf(os.Stderr, "row %d took %v\n", row.ID, time.Since(began).Round(time.Second))
		r.Rows = append(r.Rows, got)
	}
	r.Took = time.Since(started)
	return r, errors.Join(append(errs, ctx.Err())...)
}

// setUp builds the workload and starts the peers.
func setUp(ctx context.Context, dir string, o options) (*rows.Bench, error) {
	memhog := filepath.Join(dir, "memhog")
	build := exec.CommandContext(ctx, "go", "build", "-o", memhog, "github.com/ateom/ateom/e2e/bench/memhog")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build workload: %w: %s", err, out)
	}
	b := &rows.Bench{
		Ground:  &peers.Ground{Dir: dir, Runsc: o.tools.runsc, Cgroup: filepath.Base(dir)},
		Peers:   map[string]peers.Peer{},
		Missing: map[string]string{},
		Memhog:  memhog, Quick: o.quick, Log: os.Stderr,
	}
	var err error
	if b.Debian, err = lab.DebianRootfs(); err != nil {
		return nil, err
	}
	bucket, err := peers.NewBucket(ctx, o.tools.s3, filepath.Join(dir, "s3"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "rows about buckets will fail:", err)
	} else {
		b.Ground.Bucket = bucket
	}
	add := func(name string, p peers.Peer, err error) {
		if err != nil {
			b.Missing[name] = err.Error()
			return
		}
		b.Peers[name] = p
	}
	for _, s := range peers.Scripts {
		p, err := peers.NewRunsc(b.Ground, s)
		add(s.Name, p, err)
	}
	p, err := peers.NewAteom(ctx, b.Ground, peers.Ateom{Containerd: o.tools.containerd, Shim: o.tools.shim})
	add("ateom", p, err)
	p, err = newUpstream(ctx, b.Ground, o)
	add("upstream", p, err)
	return b, nil
}

// tearDown ends the peers and removes the cgroups that runtimes left.
func tearDown(b *rows.Bench) error {
	var errs []error
	for name, p := range b.Peers {
		if err := p.Close(); err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", name, err))
		}
	}
	if b.Ground.Bucket != nil {
		errs = append(errs, b.Ground.Bucket.Close())
	}
	return errors.Join(append(errs, lab.RemoveCgroups(b.Ground.Cgroup))...)
}
