// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ateom/ateom/e2e/bench/lab"
	"github.com/ateom/ateom/e2e/bench/peers"
	"github.com/ateom/ateom/e2e/bench/report"
)

// starting is the measurement of a cold start.
const starting = "start"

// cold lets every named peer start w over and over, unless that was done before.
func (b *Bench) cold(ctx context.Context, w peers.Workload, what string, names []string, iterations int) results {
	if c, ok := b.colds[w.Name]; ok {
		return c
	}
	c := contest{
		bench: b, workload: w, names: names, iterations: iterations, what: what, idle: true,
		units: map[string]string{starting: "ms"},
		step: func(ctx context.Context, c *contestant) error {
			took, err := startOnce(ctx, c.peer, w)
			if err == nil && c.counts() {
				took.addTo(c.series[starting])
			}
			return err
		},
	}.run(ctx)
	if b.colds == nil {
		b.colds = map[string]results{}
	}
	b.colds[w.Name] = c
	return c
}

// startOnce times one start, from the request to the first 200.
func startOnce(ctx context.Context, p peers.Peer, w peers.Workload) (_ sample, err error) {
	box, err := p.Prepare(ctx, w)
	if err != nil {
		return sample{}, fmt.Errorf("prepare: %w", err)
	}
	defer func() { err = errors.Join(err, box.Close()) }()
	client := lab.NewClient(box.Addr())
	return measure(p.Account(), func() error {
		if err := box.Start(ctx); err != nil {
			return fmt.Errorf("start: %w", err)
		}
		var state lab.State
		return client.Get(ctx, "/", time.Millisecond, &state)
	})
}

func coldRow(ctx context.Context, b *Bench) (report.Row, error) {
	r := report.Row{How: "From the request until the first HTTP 200 of a small program, asked for every millisecond. " +
		"raw is runsc run --detach over a bundle that is there; ateom is containerd's task create and start, " +
		"over a container and a rootfs that are there."}
	c := b.cold(ctx, b.memhog(0), "memhog", []string{ateom, raw}, b.iterations(12, 40))
	r.Series = c.of(starting, ateom, raw)
	r.Bound = "What bounds it: runsc create and runsc start are two process starts where runsc run is one, and the shim's own are two more: some 34 ms of CPU in all."
	r.ClaimRatio("memhog", ateom, raw, 1.10)
	return r, ctx.Err()
}
