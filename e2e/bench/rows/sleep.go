// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"context"

	"github.com/ateom/ateom/e2e/bench/report"
)

// sleepers are the peers of every row about Pause and Resume.
var sleepers = []string{ateom, raw, hand, handPlus}

// napOf measures Pause and Resume of mib MiB.
func (b *Bench) napOf(ctx context.Context, mib int) results {
	iterations := b.iterations(4, 15)
	if mib >= 1024 {
		iterations = b.iterations(3, 15)
	}
	return b.nap(ctx, b.memhog(mib), size(mib), sleepers, iterations)
}

func pauseRow(ctx context.Context, b *Bench) (report.Row, error) {
	r := report.Row{How: "From the request until the sandbox's kernel has ended and its memory is free. " +
		"raw is runsc checkpoint; it syncs nothing to disk, ateom syncs everything before it gives the memory up. " +
		"hand is the same and runsc delete."}
	for _, mib := range []int{64, 1024} {
		n := b.napOf(ctx, mib)
		r.Series = append(r.Series, n.of(pausing, ateom, raw, hand)...)
	}
	r.Bound = b.savingBound()
	r.ClaimRatio(size(64), ateom, raw, 1.10)
	r.ClaimRatio(size(1024), ateom, raw, 1.03)
	return r, ctx.Err()
}

func resumeRow(ctx context.Context, b *Bench) (report.Row, error) {
	r := report.Row{How: "From the request until the first HTTP 200. " + placesText +
		"hand is runsc restore and a request every 100 ms until one is answered; hand+ is runsc restore --background " +
		"and a request every millisecond; ateom returns when its readiness probe passes. " +
		"Afterwards the whole memory is read and its digest compared."}
	n := b.napOf(ctx, 1024)
	r.Series = n.fromEach(ateom, hand, handPlus)
	r.Bound = startBound
	for _, p := range places {
		r.ClaimRatio(p.what(size(1024)), ateom, hand, 0.35)
		r.ClaimRatio(p.what(size(1024)), ateom, handPlus, 0.6)
	}
	return r, ctx.Err()
}
