// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"context"
	"fmt"
	"time"

	"github.com/ateom/ateom/e2e/bench/report"
)

// noticing is the time from the opening of a port until a Resume returns that
// waited for it.
const noticing = "notice"

// doors are the kinds of probe that ask a port.
var doors = []string{"tcpSocket", "httpGet", "grpc"}

// readyRow measures how soon readiness is noticed.
func readyRow(ctx context.Context, b *Bench) (report.Row, error) {
	r := report.Row{How: "A program that opens its port some time after it was resumed, and notes when by its own wall clock; " +
		"until the Resume, whose readiness probe waits for the port, returns."}
	r.Bound = noticingBound
	for _, kind := range doors {
		w := b.memhog(0)
		w.Name = "door-" + kind
		w.Program.Args = append(w.Program.Args, "-pulse=50us", "-door=:8081")
		w.Annotations = map[string]string{"ateom.dev/readiness": fmt.Sprintf(`[{%q:{"port":8081},"periodSeconds":1,"failureThreshold":30}]`, kind)}
		got := contest{bench: b, workload: w, names: []string{ateom}, iterations: b.iterations(15, 50), what: kind,
			units: map[string]string{noticing: "ms"}, step: noticeOnce}.run(ctx)
		r.Series = append(r.Series, got.of(noticing, ateom)...)
		r.ClaimAtMost(kind, ateom, 0.5, 2)
	}
	return r, ctx.Err()
}

// noticeOnce has the door open a while after a pause, resumes, and compares
// the time of the opening with that of the return.
func noticeOnce(ctx context.Context, c *contestant) error {
	// Not always in the same place between two attempts of the probe.
	after := 100 + 7*c.round%31
	if err := c.client.Get(ctx, fmt.Sprintf("/doze?after=%d", after), time.Millisecond, &struct{}{}); err != nil {
		return err
	}
	asked := time.Now()
	if err := c.pause(ctx); err != nil {
		return fmt.Errorf("pause: %w", err)
	}
	if err := c.box.Resume(ctx); err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	returned := time.Now()
	var opened struct{ Nanos int64 }
	if err := c.client.Get(ctx, "/opened", time.Millisecond, &opened); err != nil {
		return err
	}
	at := time.Unix(0, opened.Nanos)
	if at.Before(asked) {
		return fmt.Errorf("measure readiness: the door opened before the pause")
	}
	c.value(noticing, milliseconds(returned.Sub(at)))
	return nil
}
