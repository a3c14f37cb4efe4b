// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"context"
	"fmt"
	"time"

	"github.com/ateom/ateom/e2e/bench/lab"
	"github.com/ateom/ateom/e2e/bench/peers"
	"github.com/ateom/ateom/e2e/bench/report"
)

// A contest lets several peers do the same with one workload, in turns.
type contest struct {
	bench      *Bench
	workload   peers.Workload
	names      []string // of the peers
	iterations int      // besides the one that does not count
	// what describes the workload in every series.
	what string
	// units of the measurements, by key.
	units map[string]string
	// step is one iteration of one peer.
	step func(ctx context.Context, c *contestant) error
	// idle leaves the workload unstarted.
	idle bool
}

// results are series by measurement and peer.
type results map[string]map[string]*report.Series

// A contestant is one peer's sandbox in a contest.
type contestant struct {
	peer   peers.Peer
	box    peers.Sandbox
	client *lab.Client
	memory string        // digest of the workload's memory, where the step keeps one
	others []*contestant // of the same peer, where one sandbox is not enough
	round  int           // 0 is the warm-up
	last   string        // id of the last commit
	series map[string]*report.Series
	gone   bool
}

// run holds the contest. A peer that fails is out, and its series say why.
func (k contest) run(ctx context.Context) results {
	all := results{}
	there, missing := k.bench.entrants(k.names)
	for key, unit := range k.units {
		all[key] = map[string]*report.Series{}
		for _, name := range k.names {
			all[key][name] = &report.Series{Peer: name, What: k.what, Unit: unit, Missing: missing[name]}
		}
	}
	var contestants []*contestant
	for _, p := range there {
		c := &contestant{peer: p, series: map[string]*report.Series{}}
		for key := range k.units {
			c.series[key] = all[key][p.Name()]
		}
		contestants = append(contestants, c)
		if !k.idle {
			c.fail(k.bench, c.open(ctx, k.workload))
		}
	}
	for i := range k.iterations + 1 {
		for _, c := range rotate(contestants, i) {
			if c.round = i; !c.gone && ctx.Err() == nil {
				c.fail(k.bench, k.once(ctx, c))
			}
		}
		k.bench.logf("  %s: round %d of %d", k.workload.Name, i, k.iterations)
	}
	for _, c := range contestants {
		c.close(k.bench)
	}
	return all
}

// once runs one step, with a deadline, and lets the disk come to rest.
func (k contest) once(ctx context.Context, c *contestant) error {
	ctx, cancel := lab.Deadline(ctx)
	defer cancel()
	if err := k.step(ctx, c); err != nil {
		return err
	}
	return lab.Settle(k.bench.Ground.Dir)
}

// counts is false in the warm-up.
func (c *contestant) counts() bool { return c.round > 0 }

// open starts the workload and waits until it answers.
func (c *contestant) open(ctx context.Context, w peers.Workload) error {
	ctx, cancel := lab.Deadline(ctx)
	defer cancel()
	box, err := c.peer.Prepare(ctx, w)
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	c.box, c.client = box, lab.NewClient(box.Addr())
	if err := box.Start(ctx); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	_, err = c.state(ctx)
	return err
}

// state asks the workload for its state, which counts the call.
func (c *contestant) state(ctx context.Context) (s lab.State, err error) {
	return s, c.client.Get(ctx, "/", time.Millisecond, &s)
}

// digest asks the workload for the digest of all its memory.
func (c *contestant) digest(ctx context.Context) (string, error) {
	var d struct{ Digest string }
	err := c.client.Get(ctx, "/digest", time.Millisecond, &d)
	return d.Digest, err
}

// value appends one number to a measurement, unless this is the warm-up.
func (c *contestant) value(key string, v float64) {
	if c.counts() {
		c.series[key].Samples = append(c.series[key].Samples, v)
	}
}

// sample appends a sample to a measurement, and the peer's own account of it,
// unless this is the warm-up.
func (c *contestant) sample(ctx context.Context, key string, s sample) error {
	if !c.counts() {
		return nil
	}
	s.addTo(c.series[key])
	return phasesTo(ctx, c.box, c.series[key])
}

// fail takes a peer that failed out of the contest.
func (c *contestant) fail(b *Bench, err error) {
	if err == nil {
		return
	}
	b.logf("  %s failed: %v", c.peer.Name(), err)
	c.gone = true
	for _, s := range c.series {
		s.Missing = err.Error()
	}
}

func (c *contestant) close(b *Bench) {
	for _, o := range c.others {
		o.close(b)
	}
	if c.box == nil {
		return
	}
	if err := c.box.Close(); err != nil {
		b.logf("  %s: close: %v", c.peer.Name(), err)
	}
}

// of returns the series of one measurement in the order of names.
func (r results) of(key string, names ...string) []report.Series {
	var out []report.Series
	for _, n := range names {
		out = append(out, *r[key][n])
	}
	return out
}
