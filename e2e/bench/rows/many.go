// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ateom/ateom/e2e/bench/lab"
	"github.com/ateom/ateom/e2e/bench/report"
)

// crowd is how many sandboxes are resumed at once.
const crowd = 8

// manyRow measures Resumes at the same time.
func manyRow(ctx context.Context, b *Bench) (report.Row, error) {
	r := report.Row{How: "Eight sandboxes of 256 MiB each are resumed at once: from the request until the last of them answers with 200. " + placesText +
		"hand+ runs its eight runsc restore --background at the same time."}
	w := b.memhog(256)
	got := contest{bench: b, workload: w, names: []string{ateom, handPlus}, iterations: b.iterations(2, 10), what: "8 × 256 MiB",
		units: map[string]string{inCache.key: "ms", onDisk.key: "ms"},
		step: func(ctx context.Context, c *contestant) error {
			for len(c.others) < crowd-1 {
				o := &contestant{peer: c.peer}
				c.others = append(c.others, o)
				if err := o.open(ctx, w); err != nil {
					return err
				}
			}
			for _, p := range places {
				if err := resumeAll(ctx, c, b.Ground.Dir, p); err != nil {
					return err
				}
			}
			return nil
		}}.run(ctx)
	r.Series = got.fromEach(ateom, handPlus)
	r.Bound = b.crowdBound()
	for _, p := range places {
		r.ClaimRatio(p.what("8 × 256 MiB"), ateom, handPlus, 0.9)
	}
	return r, ctx.Err()
}

// resumeAll pauses c and the others one after the other, resumes them at once
// from images in that place, and proves every one.
func resumeAll(ctx context.Context, c *contestant, disk string, from place) error {
	all := append([]*contestant{c}, c.others...)
	before, after := make([]lab.State, len(all)), make([]lab.State, len(all))
	for i, o := range all {
		var err error
		if o.memory == "" {
			if o.memory, err = o.digest(ctx); err != nil {
				return err
			}
		}
		if before[i], err = o.state(ctx); err != nil {
			return err
		}
		if err := o.pause(ctx); err != nil {
			return fmt.Errorf("pause: %w", err)
		}
	}
	if err := lab.Settle(disk); err != nil {
		return err
	}
	for _, o := range all {
		if err := from.move(o.box.Image()); err != nil {
			return err
		}
	}
	took, err := measure(c.peer.Account(), func() error {
		var g errgroup.Group
		for i, o := range all {
			g.Go(func() error {
				if err := o.box.Resume(ctx); err != nil {
					return err
				}
				return o.client.Get(ctx, "/", max(o.box.Poll(), time.Millisecond), &after[i])
			})
		}
		return g.Wait()
	})
	if err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	for i, o := range all {
		if err := o.prove(ctx, before[i], after[i]); err != nil {
			return err
		}
	}
	if c.counts() {
		took.addTo(c.series[from.key])
	}
	return nil
}
