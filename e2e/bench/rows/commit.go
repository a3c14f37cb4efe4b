// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/e2e/bench/link"
	"github.com/ateom/ateom/e2e/bench/peers"
	"github.com/ateom/ateom/e2e/bench/report"
)

// Measurements of a lineage of Full commits.
const (
	downtime    = "downtime"     // of the first commit
	blinking    = "blink"        // how long it does when it is frozen and thawed at once
	resting     = "resting"      // how long a program stands still that nobody touches
	committing  = "commit"       // the first commit, all memory new
	recommiting = "commit again" // after a change of one percent
	resent      = "resent"       // bytes of the latter
	idleBytes   = "idle"         // bytes of a commit when nothing has changed
)

// commits measures lineages of Full commits of 1 GiB, unless that was done before.
func (b *Bench) commits(ctx context.Context) results {
	const mib = 1024
	w := b.memhog(mib)
	w.Name = "lineage"
	w.Program.Args = append(w.Program.Args, "-pulse=1ms")
	if c, ok := b.lineages[w.Name]; ok {
		return c
	}
	c := contest{
		bench: b, workload: w, names: []string{ateom, raw, hand}, iterations: b.iterations(3, 10), what: size(mib),
		units: map[string]string{downtime: "ms", committing: "ms", recommiting: "ms", resent: "bytes", idleBytes: "bytes"},
		step: func(ctx context.Context, c *contestant) error {
			if b.Ground.Bucket == nil {
				return errors.New("commit: there is no S3 server (make tools)")
			}
			b.Ground.Bucket.Reshape(link.B0)
			return c.lineage(ctx, b.Ground.Bucket.Link)
		},
	}.run(ctx)
	b.lineages = map[string]results{w.Name: c}
	return c
}

// lineage commits memory that no commit has seen, then again after a change of
// one percent, and then, where the peer can, twice while the sandbox is paused.
func (c *contestant) lineage(ctx context.Context, k *link.Link) error {
	if err := c.touch(ctx, 100, 2*c.round+1); err != nil {
		return err
	}
	if _, err := c.gap(ctx); err != nil { // from here on
		return err
	}
	full, sent, err := c.commit(ctx, artifacts.Full, k)
	if err != nil {
		return err
	}
	down, err := c.gap(ctx)
	if err != nil {
		return err
	}
	c.value(downtime, milliseconds(down))
	if err := c.sample(ctx, committing, full); err != nil {
		return err
	}
	c.sent(committing, sent)
	if c.peer.Name() == raw {
		return nil // it sends nothing
	}
	if err := c.touch(ctx, 1, 2*c.round+2); err != nil {
		return err
	}
	again, sent, err := c.commit(ctx, artifacts.Full, k)
	if err != nil {
		return err
	}
	if err := c.sample(ctx, recommiting, again); err != nil {
		return err
	}
	c.sent(recommiting, sent)
	c.value(resent, float64(sent))
	if c.peer.Name() != ateom {
		return nil
	}
	return c.commitAsleep(ctx, k)
}

// commitAsleep commits a paused sandbox twice: between the two nothing changes.
func (c *contestant) commitAsleep(ctx context.Context, k *link.Link) error {
	if err := c.pause(ctx); err != nil {
		return fmt.Errorf("pause: %w", err)
	}
	var sent int64
	for range 2 {
		var err error
		if _, sent, err = c.commit(ctx, artifacts.Full, k); err != nil {
			return err
		}
	}
	c.value(idleBytes, float64(sent))
	if err := c.box.Resume(ctx); err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	return nil
}

// commit commits once and says how many bytes went over the link. It leaves
// the snapshot's id in c.last.
func (c *contestant) commit(ctx context.Context, scope artifacts.Scope, k *link.Link) (sample, int64, error) {
	box, ok := c.box.(peers.Committer)
	if !ok {
		return sample{}, 0, errors.New("commit: the peer cannot")
	}
	before := k.Sent()
	took, err := measure(c.peer.Account(), func() error {
		var err error
		c.last, err = box.Commit(ctx, scope)
		return err
	})
	if err != nil {
		return sample{}, 0, fmt.Errorf("commit: %w", err)
	}
	return took, k.Sent() - before, nil
}

// sent appends the bytes that a step has sent.
func (c *contestant) sent(key string, bytes int64) {
	if c.counts() {
		c.series[key].Bytes = append(c.series[key].Bytes, float64(bytes))
	}
}

// touch has the workload write new content into percent of its memory, in runs
// of 1 MiB.
func (c *contestant) touch(ctx context.Context, percent, seed int) error {
	var d struct{ Pages int }
	path := fmt.Sprintf("/touch?percent=%d&run=256&seed=%d", percent, seed+1000)
	if err := c.client.Get(ctx, path, time.Millisecond, &d); err != nil {
		return err
	}
	if d.Pages == 0 {
		return errors.New("touch memory: no page was written")
	}
	return nil
}

// gap returns the longest time that the workload stood still since it was last
// asked.
func (c *contestant) gap(ctx context.Context) (time.Duration, error) {
	var d struct{ Nanos int64 }
	err := c.client.Get(ctx, "/gap", time.Millisecond, &d)
	return time.Duration(d.Nanos), err
}

func commitRow(ctx context.Context, b *Bench) (report.Row, error) {
	r := report.Row{How: "Commit Full of a running program whose whole memory is new, to an S3 server on this machine. " +
		"Downtime is the longest time that the program's own clock stood still; raw is runsc checkpoint --leave-running. " +
		"hand is that, and then tar | zstd -T0 | rclone rcat. Half of each page is random, so that it compresses to about a half."}
	c := b.commits(ctx)
	r.Series = append(renamed(c.of(downtime, ateom, raw, hand), "downtime"), renamed(c.of(committing, ateom, hand), "done")...)
	r.Bound = b.capturingBound()
	r.ClaimRatio("downtime", ateom, raw, 1.10)
	r.ClaimRatio("done", ateom, hand, 0.6)
	return r, ctx.Err()
}

func recommitRow(ctx context.Context, b *Bench) (report.Row, error) {
	r := report.Row{How: "Commit Full again after one percent of the memory was written, in runs of 1 MiB. hand does everything again."}
	c := b.commits(ctx)
	r.Series = append(renamed(c.of(recommiting, ateom, hand), "time"), renamed(c.of(resent, ateom, hand), "bytes")...)
	r.Bound = b.comparingBound()
	r.ClaimRatio("bytes", ateom, hand, 0.03)
	r.ClaimRatio("time", ateom, hand, 0.15)
	return r, ctx.Err()
}

func idleRow(ctx context.Context, b *Bench) (report.Row, error) {
	r := report.Row{How: "Commit Full of a paused sandbox that was committed before: all bytes that went to the store, headers included."}
	c := b.commits(ctx)
	r.Series = renamed(c.of(idleBytes, ateom), "1 GiB, paused")
	r.ClaimAtMost("1 GiB, paused", ateom, 0.5, 64<<10)
	return r, ctx.Err()
}

// renamed returns the series under another name of what they measure.
func renamed(in []report.Series, what string) []report.Series {
	for i := range in {
		in[i].What = what
	}
	return in
}
