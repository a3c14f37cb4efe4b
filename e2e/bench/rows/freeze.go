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

	"github.com/ateom/ateom/e2e/bench/peers"
	"github.com/ateom/ateom/e2e/bench/report"
)

// freezing is the time from a request until the workload stands still.
const freezing = "freeze"

// pulsing is the memhog that stores the wall clock where the host sees it.
func (b *Bench) pulsing(mib int) peers.Workload {
	w := b.memhog(mib)
	w.Name = fmt.Sprintf("pulse%d", mib)
	w.Share = "/share"
	w.Program.Args = append(w.Program.Args, "-pulse=50us", "-clock=/share/clock")
	return w
}

// freezeOnce freezes, reads when the workload's clock stopped, and thaws.
func freezeOnce(ctx context.Context, c *contestant) error {
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
	c.value(freezing, milliseconds(time.Duration(max(0, stopped-asked))))
	return nil
}

func freezeRow(ctx context.Context, b *Bench) (report.Row, error) {
	r := report.Row{How: "From the request until the program's own clock stands still: a thread of it looks at the wall clock " +
		"every 50 µs and stores it where the host sees it. ateom is the whole Pause through containerd, of which " +
		"only this first part counts here; raw is runsc pause."}
	r.Bound = askingBound
	for _, mib := range []int{64, 1024} {
		n := b.iterations(15, 100)
		if mib >= 1024 {
			n = b.iterations(3, 15)
		}
		got := contest{bench: b, workload: b.pulsing(mib), names: []string{ateom, raw}, iterations: n, what: size(mib),
			units: map[string]string{freezing: "ms"}, step: freezeOnce}.run(ctx)
		r.Series = append(r.Series, got.of(freezing, ateom, raw)...)
		r.ClaimAtMost(size(mib), ateom, 0.99, 2)
		r.ClaimRatio(size(mib), ateom, raw, 0.2)
	}
	return r, ctx.Err()
}
