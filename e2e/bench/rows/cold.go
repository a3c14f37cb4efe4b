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

// A coldStart is what starting one workload over and over showed, by peer.
type coldStart struct {
	start map[string]*report.Series
}

// coldStart lets every named peer start w, unless that was done before.
func (b *Bench) coldStart(ctx context.Context, w peers.Workload, what string, names []string, iterations int) *coldStart {
	if c, ok := b.cold[w.Name]; ok {
		return c
	}
	c := &coldStart{start: map[string]*report.Series{}}
	there, missing := b.entrants(names)
	for _, name := range names {
		c.start[name] = &report.Series{Peer: name, What: what, Unit: "ms", Missing: missing[name]}
	}
	for i := range iterations + 1 {
		for _, p := range rotate(there, i) {
			s := c.start[p.Name()]
			if s.Missing != "" {
				continue
			}
			took, err := startOnce(ctx, p, w)
			if err != nil {
				b.logf("  %s failed: %v", p.Name(), err)
				s.Missing = err.Error()
			} else if i > 0 {
				took.addTo(s)
			}
		}
	}
	if b.cold == nil {
		b.cold = map[string]*coldStart{}
	}
	b.cold[w.Name] = c
	return c
}

// startOnce times one start, from the request to the first 200.
func startOnce(ctx context.Context, p peers.Peer, w peers.Workload) (_ sample, err error) {
	ctx, cancel := lab.Deadline(ctx)
	defer cancel()
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
	c := b.coldStart(ctx, b.memhog(0), "memhog", []string{ateom, raw}, b.iterations(15, 40))
	for _, name := range []string{ateom, raw} {
		r.Series = append(r.Series, *c.start[name])
	}
	r.ClaimRatio("memhog", ateom, raw, 1.10)
	return r, ctx.Err()
}
