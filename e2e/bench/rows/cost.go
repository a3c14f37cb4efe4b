// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"context"
	"errors"
	"fmt"

	"github.com/ateom/ateom/e2e/bench/lab"
	"github.com/ateom/ateom/e2e/bench/peers"
	"github.com/ateom/ateom/e2e/bench/report"
)

// Measurements of what a shim costs.
const (
	private      = "private"
	proportional = "proportional"
)

// shims are the programs of the peers' shims.
var shims = map[string]string{ateom: "containerd-shim-ateom-v1", upstream: "containerd-shim-runsc-v1"}

// costRow measures memory besides the sandbox's own.
func costRow(ctx context.Context, b *Bench) (report.Row, error) {
	r := report.Row{How: "paused: RssAnon of the shim of a paused sandbox, when Pause has returned. " +
		"running: Pss of a shim, the mean of many that run a small program at the same time; upstream is gVisor's own shim, which asks for no lower OOM score here. " +
		"gofer: the largest resident set that any ateom-gofer had while 1 GiB was committed (row 6)."}
	asleep := contest{bench: b, workload: b.memhog(0), names: []string{ateom}, iterations: b.iterations(5, 20), what: "paused",
		units: map[string]string{private: "bytes"}, step: weighAsleep}.run(ctx)
	n := b.iterations(6, 50)
	running := fmt.Sprintf("running, %d of them", n)
	awake := contest{bench: b, workload: b.memhog(0), names: []string{ateom, upstream}, iterations: 1, what: running,
		units: map[string]string{proportional: "bytes"},
		step:  func(ctx context.Context, c *contestant) error { return c.weighAwake(ctx, b.memhog(0), n) }}.run(ctx)
	gofer := report.Series{Peer: ateom, What: "gofer", Unit: "bytes"}
	commits := b.commits(ctx)[committing][ateom]
	gofer.Missing = commits.Missing
	if commits.PeakName == "ateom-gofer" {
		gofer.Samples = commits.PeakRSS
	}
	r.Series = append(asleep.of(private, ateom), awake.of(proportional, ateom, upstream)...)
	r.Series = append(r.Series, gofer)
	r.Bound = idleBound
	r.ClaimAtMost("paused", ateom, 0.5, 6<<20)
	r.ClaimRatio(running, ateom, upstream, 0.5)
	r.ClaimAtMost("gofer", ateom, 1, 128<<20)
	return r, ctx.Err()
}

// weighAsleep pauses, weighs the peer's only shim, and resumes.
func weighAsleep(ctx context.Context, c *contestant) error {
	if err := c.pause(ctx); err != nil {
		return fmt.Errorf("pause: %w", err)
	}
	pids := c.peer.Account().Named(shims[c.peer.Name()])
	if len(pids) != 1 {
		return fmt.Errorf("weigh the shim: there are %d", len(pids))
	}
	bytes, err := lab.PrivateMemory(pids[0])
	if err != nil {
		return fmt.Errorf("weigh the shim: %w", err)
	}
	c.value(private, float64(bytes))
	if err := c.box.Resume(ctx); err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	return nil
}

// weighAwake has n sandboxes run and weighs their shims.
func (c *contestant) weighAwake(ctx context.Context, w peers.Workload, n int) error {
	for len(c.others) < n-1 {
		o := &contestant{peer: c.peer}
		c.others = append(c.others, o)
		if err := o.open(ctx, w); err != nil {
			return err
		}
	}
	pids := c.peer.Account().Named(shims[c.peer.Name()])
	if len(pids) != n {
		return fmt.Errorf("weigh shims: there are %d, want %d", len(pids), n)
	}
	var errs []error
	for _, pid := range pids {
		bytes, err := lab.ProportionalMemory(pid)
		errs = append(errs, err)
		c.value(proportional, float64(bytes))
	}
	return errors.Join(errs...)
}
