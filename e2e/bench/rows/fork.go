// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ateom/ateom/e2e/bench/lab"
	"github.com/ateom/ateom/e2e/bench/link"
	"github.com/ateom/ateom/e2e/bench/peers"
	"github.com/ateom/ateom/e2e/bench/report"
)

// forking is the measurement of many sandboxes from one snapshot.
const forking = "fork"

// atOnce is how many sandboxes are started at the same time: more would only
// share the cores.
const atOnce = 4

// indexing is how much the program of row 14 computes before it serves: about
// two seconds of one core's time where this was written.
const indexing = "6000000"

// forkRow measures many sandboxes that begin from one snapshot beside as many
// that begin from nothing.
func forkRow(ctx context.Context, b *Bench) (report.Row, error) {
	n := b.iterations(16, 100)
	r := report.Row{How: fmt.Sprintf("%d sandboxes are started from one committed snapshot in a bucket on this machine, at most %d at a time: from the request until the "+
		"last of them has answered with 200. The program is the Python service of row 3 that first computes for two seconds, as programs do that import, "+
		"parse and compile. cold start is as many times runsc run. Every fork is proven to be one.", n, atOnce)}
	r.Bound = startBound + " What a cold start costs is the program's own business, and with it the ratio."
	w := b.service("agent", "/usr/bin/python3", pythonService)
	w.Program.Args = append(w.Program.Args, indexing)
	what := fmt.Sprintf("%d sandboxes", n)
	var from *origin
	got := contest{bench: b, workload: w, names: []string{ateom, raw}, iterations: b.iterations(1, 3), what: what,
		units: map[string]string{forking: "ms"}, idle: true,
		step: func(ctx context.Context, c *contestant) error {
			if c.peer.Name() == ateom && from == nil {
				var err error
				if from, err = b.forkOrigin(ctx, c, w); err != nil {
					return err
				}
			}
			if c.round == 0 {
				return c.crowd(ctx, w, 2, from)
			}
			return c.crowd(ctx, w, n, from)
		}}.run(ctx)
	series := got.of(forking, ateom, raw)
	series[1].Peer = coldStart
	r.Series = series
	r.ClaimRatio(what, ateom, coldStart, 0.05)
	return r, ctx.Err()
}

// forkOrigin starts w once, commits it and ends it.
func (b *Bench) forkOrigin(ctx context.Context, c *contestant, w peers.Workload) (o *origin, err error) {
	if b.Ground.Bucket == nil {
		return nil, errors.New("commit: there is no S3 server (make tools)")
	}
	b.Ground.Bucket.Reshape(link.B0)
	first := &contestant{peer: c.peer}
	defer func() { first.close(b) }()
	if err := first.open(ctx, w); err != nil {
		return nil, err
	}
	return newOrigin(ctx, first)
}

// crowd starts n sandboxes, from o if the peer is ateom, times it and proves
// each.
func (c *contestant) crowd(ctx context.Context, w peers.Workload, n int, o *origin) (err error) {
	boxes := make([]peers.Sandbox, 0, n)
	defer func() {
		for _, box := range boxes {
			err = errors.Join(err, box.Close())
		}
	}()
	for range n {
		var box peers.Sandbox
		if p, ok := c.peer.(peers.Forker); ok && o != nil {
			box, err = p.PrepareFork(ctx, w, o.id)
		} else {
			box, err = c.peer.Prepare(ctx, w)
		}
		if err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
		boxes = append(boxes, box)
	}
	states := make([]lab.State, n)
	took, err := measure(c.peer.Account(), func() error {
		var g errgroup.Group
		g.SetLimit(atOnce)
		for i, box := range boxes {
			g.Go(func() error {
				if err := box.Start(ctx); err != nil {
					return err
				}
				return lab.NewClient(box.Addr()).Get(ctx, "/", time.Millisecond, &states[i])
			})
		}
		return g.Wait()
	})
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	if c.peer.Name() == ateom {
		for i, box := range boxes {
			fork := &contestant{peer: c.peer, box: box, client: lab.NewClient(box.Addr()), memory: o.memory}
			if err := fork.prove(ctx, o.state, states[i]); err != nil {
				return err
			}
		}
	}
	if c.counts() {
		took.addTo(c.series[forking])
	}
	return nil
}
