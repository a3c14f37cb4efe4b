// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ateom/ateom/e2e/bench/lab"
	"github.com/ateom/ateom/e2e/bench/peers"
	"github.com/ateom/ateom/e2e/bench/report"
)

// Times from a request until the workload stands still.
const (
	freezing = "freeze"
	// freezingEarly is that of a workload whose memory still comes back.
	freezingEarly = "freeze early"
	// hearing is until the last of as many sleeping processes has heard of a request as
	// a freeze wakes up: the machine's own share, whoever freezes.
	hearing = "hear"
)

// hops are the processes that a Pause wakes up: containerd, shim and sandbox.
const hops = 3

// pulsing is the memhog that stores the wall clock where the host sees it.
func (b *Bench) pulsing(mib int) peers.Workload {
	w := b.memhog(mib)
	w.Name = fmt.Sprintf("pulse%d", mib)
	w.Share = "/share"
	w.Program.Args = append(w.Program.Args, "-pulse=50us", "-clock=/share/clock")
	return w
}

// freezeOnce freezes the workload with all of its memory there, and once more
// as soon as it runs again: ateom's Pause lasts until the memory is on the disk,
// and a Resume does not wait until all is back.
func freezeOnce(ctx context.Context, c *contestant, chain *lab.Chain) error {
	if _, err := c.digest(ctx); err != nil { // reads all of it
		return err
	}
	heard, err := chain.Ask()
	if err != nil {
		return err
	}
	c.value(hearing, milliseconds(heard))
	if err := c.freeze(ctx, freezing); err != nil {
		return err
	}
	return c.freeze(ctx, freezingEarly)
}

// freeze freezes, reads when the workload's clock stopped, and thaws.
func (c *contestant) freeze(ctx context.Context, key string) error {
	box, ok := c.box.(peers.Freezer)
	if !ok {
		return errors.New("freeze: the peer cannot")
	}
	before, err := c.state(ctx)
	if err != nil {
		return err
	}
	asked := time.Now().UnixNano()
	if err := box.Freeze(ctx); err != nil {
		return fmt.Errorf("freeze: %w", err)
	}
	clock, err := os.ReadFile(filepath.Join(c.box.Share(), "clock"))
	if err != nil || len(clock) != 8 {
		return fmt.Errorf("read the workload's clock: %d bytes, %v", len(clock), err)
	}
	stopped := int64(binary.NativeEndian.Uint64(clock))
	if asked-stopped > int64(time.Second) {
		return fmt.Errorf("freeze: the workload's clock stopped %v before the request", time.Duration(asked-stopped))
	}
	if err := box.Thaw(ctx); err != nil {
		return fmt.Errorf("thaw: %w", err)
	}
	after, err := c.state(ctx)
	if err != nil {
		return err
	}
	if after.Nonce != before.Nonce {
		return fmt.Errorf("thaw: the nonce was %s and is %s: this is another process", before.Nonce, after.Nonce)
	}
	// Between two beats it may stand still already when it is asked to.
	c.value(key, milliseconds(time.Duration(max(0, stopped-asked))))
	return nil
}

func freezeRow(ctx context.Context, b *Bench) (report.Row, error) {
	r := report.Row{How: "From the request until the program's own clock stands still: a thread of it looks at the wall clock " +
		"every 50 µs and stores it where the host sees it. ateom is the whole Pause through containerd, of which " +
		"only this first part counts here; raw is runsc pause. All of the program's memory is there when it is frozen, " +
		"unless it says just resumed. wake-ups is the machine alone, just before: three sleeping processes, each of which asks the next " +
		"by a socket, until the last has heard of it, as containerd, shim and sandbox do."}
	r.Bound = askingBound
	chain, err := lab.StartChain(hops)
	if err != nil {
		return r, err
	}
	defer chain.Close()
	for _, mib := range []int{64, 1024} {
		n := b.iterations(30, 100)
		if mib >= 1024 {
			n = b.iterations(6, 15)
		}
		got := contest{bench: b, workload: b.pulsing(mib), names: []string{ateom, raw}, iterations: n, what: size(mib),
			units: map[string]string{freezing: "ms", freezingEarly: "ms", hearing: "ms"},
			step:  func(ctx context.Context, c *contestant) error { return freezeOnce(ctx, c, chain) }}.run(ctx)
		r.Series = append(r.Series, got.of(freezing, ateom, raw)...)
		for _, s := range got.of(freezingEarly, ateom) {
			s.What += ", just resumed"
			r.Series = append(r.Series, s)
		}
		for _, s := range got.of(hearing, ateom) {
			s.Peer = wakeUps
			r.Series = append(r.Series, s)
		}
		r.ClaimAtMost(size(mib), ateom, 0.99, 2)
		r.ClaimRatio(size(mib), ateom, raw, 0.2)
	}
	return r, ctx.Err()
}
