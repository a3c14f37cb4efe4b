// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"context"
	"errors"
	"fmt"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/e2e/bench/lab"
	"github.com/ateom/ateom/e2e/bench/link"
	"github.com/ateom/ateom/e2e/bench/peers"
	"github.com/ateom/ateom/e2e/bench/report"
)

// Measurements of a resume on another node.
const (
	remote   = "remote"
	received = "received" // bytes that came over the link until ready
)

func remoteRow(ctx context.Context, b *Bench) (report.Row, error) {
	r := report.Row{How: "A sandbox of 1 GiB is committed once and started from the bucket on what counts as another node: nothing of the snapshot " +
		"is there. From the request until the first 200, over a link with 20 ms to the first byte, 100 MB/s a connection and 1.25 GB/s in all; " +
		"and the bytes that came over it until then. hand is rclone copyto, zstd -d | tar -x, runsc restore, a request every 100 ms. " +
		"Afterwards all memory is read, and its digest compared with that of the sandbox that was committed."}
	w := b.memhog(1024)
	w.Name = "origin"
	names := []string{ateom, hand}
	committed := map[string]*origin{}
	got := contest{bench: b, workload: w, names: names, iterations: b.iterations(3, 10), what: "time",
		units: map[string]string{remote: "ms", received: "bytes"},
		step: func(ctx context.Context, c *contestant) error {
			if b.Ground.Bucket == nil {
				return errors.New("commit: there is no S3 server (make tools)")
			}
			if committed[c.peer.Name()] == nil {
				o, err := newOrigin(ctx, c)
				if err != nil {
					return err
				}
				committed[c.peer.Name()] = o
			}
			b.Ground.Bucket.Reshape(link.B1)
			defer b.Ground.Bucket.Reshape(link.B0)
			return c.elsewhere(ctx, w, committed[c.peer.Name()], b.Ground.Bucket.Link)
		}}.run(ctx)
	r.Series = append(got.of(remote, names...), renamed(got.of(received, names...), "bytes until ready")...)
	r.Bound = bytesBound
	r.ClaimRatio("time", ateom, hand, 0.35)
	r.ClaimRatio("bytes until ready", ateom, hand, 0.07)
	return r, ctx.Err()
}

// An origin is a committed sandbox as it was.
type origin struct {
	id     string
	state  lab.State
	memory string
}

func newOrigin(ctx context.Context, c *contestant) (*origin, error) {
	box, ok := c.box.(peers.Committer)
	if !ok {
		return nil, errors.New("commit: the peer cannot")
	}
	o := &origin{}
	var err error
	if o.memory, err = c.digest(ctx); err != nil {
		return nil, err
	}
	if o.state, err = c.state(ctx); err != nil {
		return nil, err
	}
	if o.id, err = box.Commit(ctx, artifacts.Full); err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	return o, nil
}

// elsewhere starts o on a node that knows nothing of it, and proves it.
func (c *contestant) elsewhere(ctx context.Context, w peers.Workload, o *origin, k *link.Link) (err error) {
	p, ok := c.peer.(peers.Restorer)
	if !ok {
		return errors.New("restore: the peer cannot")
	}
	box, err := p.PrepareFrom(ctx, w, o.id)
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	defer func() { err = errors.Join(err, box.Close()) }()
	there := &contestant{peer: c.peer, box: box, client: lab.NewClient(box.Addr()), memory: o.memory}
	var state lab.State
	before := k.Received()
	took, err := measure(c.peer.Account(), func() error {
		if err := box.Start(ctx); err != nil {
			return err
		}
		return there.client.Get(ctx, "/", box.Poll(), &state)
	})
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	came := k.Received() - before
	if err := there.prove(ctx, o.state, state); err != nil {
		return err
	}
	c.value(received, float64(came))
	if !c.counts() {
		return nil
	}
	took.addTo(c.series[remote])
	return phasesTo(ctx, box, c.series[remote])
}
