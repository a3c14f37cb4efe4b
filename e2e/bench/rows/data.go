// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/e2e/bench/lab"
	"github.com/ateom/ateom/e2e/bench/link"
	"github.com/ateom/ateom/e2e/bench/peers"
	"github.com/ateom/ateom/e2e/bench/report"
)

// durable is the workload with one DurableDir.
func (b *Bench) durable(name string, args ...string) peers.Workload {
	w := b.memhog(0)
	w.Name, w.Share = name, "/home/agent"
	w.Program.Args = append(w.Program.Args, args...)
	w.Annotations = map[string]string{"ateom.dev/durable-dirs": `[{"name":"home","mountPath":"/home/agent"}]`}
	return w
}

// A volumeContest commits a volume over and over, written anew each time.
type volumeContest struct {
	name, what string
	args       []string // of the workload
	names      []string
	iterations int
	shape      link.Shape
	// unproven is a peer whose commits are not unpacked and compared, as it
	// leaves none or would write gigabytes of zeros.
	unproven string
	// write fills the volume at dir for a round.
	write func(w *writer, dir string, round int) error
}

func (v volumeContest) run(ctx context.Context, b *Bench) results {
	w := b.durable(v.name, v.args...)
	return contest{
		bench: b, workload: w, names: v.names, iterations: v.iterations, what: v.what,
		units: map[string]string{committing: "ms", downtime: "ms", resting: "ms", blinking: "ms"},
		step: func(ctx context.Context, c *contestant) error {
			if b.Ground.Bucket == nil {
				return errors.New("commit: there is no S3 server (make tools)")
			}
			b.Ground.Bucket.Reshape(v.shape)
			defer b.Ground.Bucket.Reshape(link.B0)
			if err := v.write(newWriter(c.round+1), c.box.Share(), c.round); err != nil {
				return fmt.Errorf("write volume: %w", err)
			}
			if err := c.commitData(ctx, b.Ground.Bucket.Link, len(v.args) > 0); err != nil {
				return err
			}
			if c.round < v.iterations || c.peer.Name() == v.unproven {
				return nil
			}
			b.Ground.Bucket.Reshape(link.B0)
			return c.proveVolume(ctx, w)
		},
	}.run(ctx)
}

// commitData commits the volume once; pulse says that the workload knows when
// it stood still.
func (c *contestant) commitData(ctx context.Context, k *link.Link, pulse bool) error {
	if pulse {
		if err := c.watchRest(ctx); err != nil {
			return err
		}
	}
	took, sent, err := c.commit(ctx, artifacts.Data, k)
	if err != nil {
		return err
	}
	if pulse {
		down, err := c.gap(ctx)
		if err != nil {
			return err
		}
		c.value(downtime, milliseconds(down))
	}
	c.sent(committing, sent)
	return c.sample(ctx, committing, took)
}

// atRest is how long the clock of a program is watched that nobody touches, about
// as long as a commit of a small volume takes.
const atRest = 100 * time.Millisecond

// watchRest notes how long the workload stands still when nothing is done to it,
// and when it is frozen and thawed at once, and has it count anew.
func (c *contestant) watchRest(ctx context.Context) error {
	none := func(context.Context) error { return nil }
	if err := c.watch(ctx, resting, none); err != nil {
		return err
	}
	if box, ok := c.box.(peers.Blinker); ok {
		return c.watch(ctx, blinking, box.Blink)
	}
	return nil
}

// watch notes as key how long the workload stands still in a while that begins
// with do, and has it count anew.
func (c *contestant) watch(ctx context.Context, key string, do func(context.Context) error) error {
	if _, err := c.gap(ctx); err != nil { // from here on
		return err
	}
	if err := do(ctx); err != nil {
		return err
	}
	select {
	case <-time.After(atRest):
	case <-ctx.Done():
		return ctx.Err()
	}
	still, err := c.gap(ctx)
	if err != nil {
		return err
	}
	c.value(key, milliseconds(still))
	return nil
}

// warm returns how much to write in a round: less in the warm-up, which is
// there for programs and caches and not for the bytes.
func warm(round, bytes int) int {
	if round == 0 {
		return bytes / 10
	}
	return bytes
}

// proveVolume starts the workload from the last commit elsewhere and compares
// its volume with this one.
func (c *contestant) proveVolume(ctx context.Context, w peers.Workload) (err error) {
	p, ok := c.peer.(peers.Restorer)
	if !ok {
		return errors.New("prove the commit: the peer cannot restore")
	}
	box, err := p.PrepareFrom(ctx, w, c.last)
	if err != nil {
		return fmt.Errorf("prove the commit: %w", err)
	}
	defer func() { err = errors.Join(err, box.Close()) }()
	if err := box.Start(ctx); err != nil {
		return fmt.Errorf("prove the commit: %w", err)
	}
	want, err := lab.TreeDigest(c.box.Share())
	if err != nil {
		return err
	}
	got, err := lab.TreeDigest(box.Share())
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("prove the commit: the volume's digest was %s and is %s", want, got)
	}
	return nil
}

func dataRow(ctx context.Context, b *Bench) (report.Row, error) {
	r := report.Row{How: "Commit Data of a volume whose content is new, over a link with 20 ms to the first byte, 100 MB/s a connection and " +
		"1.25 GB/s in all, until it is in the bucket. hand is tar | zstd -T0 | rclone rcat, hand (aws) the same with aws s3 cp -, " +
		"while the program is frozen by runsc pause. The last commit of each peer is restored elsewhere and the volume's digest compared."}
	r.Bound = b.sendingBound()
	names := []string{ateom, hand, handAWS}
	volumes := []volumeContest{
		{name: "files", what: "20 000 files, 200 MiB", iterations: b.iterations(2, 10),
			write: func(w *writer, dir string, _ int) error { return w.tree(dir, 20_000, 200<<20/20_000) }},
		{name: "file", what: "one file, 1 GiB", iterations: b.iterations(2, 8),
			write: func(w *writer, dir string, round int) error {
				return w.file(filepath.Join(dir, "big"), warm(round, 1<<30))
			}},
	}
	for i, v := range volumes {
		v.names, v.shape = names, link.B1
		r.Series = append(r.Series, v.run(ctx, b).of(committing, names...)...)
		target := []float64{0.6, 0.5}[i]
		r.ClaimRatio(v.what, ateom, hand, target)
		r.ClaimRatio(v.what, ateom, handAWS, target)
	}
	return r, ctx.Err()
}

func liveRow(ctx context.Context, b *Bench) (report.Row, error) {
	r := report.Row{How: "Commit Data of 1 000 files of 10 KiB of which 10 were changed since the last, while the program runs: the longest time " +
		"that its own clock, looked at every 200 µs, stood still. hand (tar) is runsc pause, tar to a local file, runsc resume. " +
		"Frozen and thawed at once is how long it stood still for the two calls alone, at rest in a tenth of a second in which nothing was done to it."}
	const what = "1 000 files, 10 changed"
	names := []string{ateom, handTar}
	got := volumeContest{
		name: "live", what: what, args: []string{"-pulse=200us"}, names: names, iterations: b.iterations(15, 100), shape: link.B0, unproven: handTar,
		write: func(w *writer, dir string, round int) error {
			if round == 0 {
				return w.tree(dir, 1000, 10<<10)
			}
			return w.tree(dir, 10, 10<<10)
		},
	}.run(ctx, b)
	r.Series = append(r.Series, got.of(downtime, names...)...)
	r.Series = append(r.Series, renamed(got.of(blinking, ateom), what+", frozen and thawed at once")...)
	r.Series = append(r.Series, renamed(got.of(resting, ateom), what+", at rest")...)
	r.Series = append(r.Series, renamed(got.of(committing, ateom), what+", the whole commit")...)
	r.Bound = downtimeBound
	r.ClaimAtMost(what, ateom, 0.99, 5)
	r.ClaimRatio(what, ateom, handTar, 0.1)
	return r, ctx.Err()
}

func sparseRow(ctx context.Context, b *Bench) (report.Row, error) {
	r := report.Row{How: "Commit Data of one file of 10 GiB with 100 MiB of data in it, in pieces of 1 MiB, until it is in the bucket. " +
		"hand is tar | zstd -T0 | rclone rcat, hand (tar -S) the same with tar -S."}
	const what = "10 GiB, 100 MiB of data"
	names := []string{ateom, hand, handTarS}
	got := volumeContest{
		name: "sparse", what: what, names: names, iterations: b.iterations(2, 6), shape: link.B0, unproven: hand,
		write: func(w *writer, dir string, round int) error {
			return w.sparse(filepath.Join(dir, "sparse"), int64(warm(round, 10<<30)), int64(warm(round, 100<<20)))
		},
	}.run(ctx, b)
	r.Series = got.of(committing, names...)
	r.ClaimRatio(what, ateom, hand, 0.1)
	r.ClaimRatio(what, ateom, handTarS, 0.9)
	return r, ctx.Err()
}
