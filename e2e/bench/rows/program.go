// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"context"
	_ "embed"

	"github.com/ateom/ateom/e2e/bench/lab"
	"github.com/ateom/ateom/e2e/bench/peers"
	"github.com/ateom/ateom/e2e/bench/report"
)

//go:embed programs/serve.py
var pythonService string

//go:embed programs/serve.js
var nodeService string

// service is a workload in an interpreter from Debian.
func (b *Bench) service(name, interpreter, source string) peers.Workload {
	return peers.Workload{
		Name: name, Port: 8080, Ready: "/ready", Lower: b.Debian,
		Program: lab.Program{
			Args:  []string{interpreter, "/serve"},
			Files: map[string]string{"/serve": source},
		},
	}
}

// programRow measures Resume of programs as people write them.
func programRow(ctx context.Context, b *Bench) (report.Row, error) {
	r := report.Row{How: "An HTTP service in Python and one in Node, each with 16 MiB of data: from the request until the first 200. " + placesText +
		"hand is runsc restore and a request every 100 ms, hand+ runsc restore --background and one every millisecond; " +
		"cold start is runsc run and a request every millisecond."}
	r.Bound = startBound
	services := []peers.Workload{
		b.service("python", "/usr/bin/python3", pythonService),
		b.service("node", "/usr/bin/node", nodeService),
	}
	for _, w := range services {
		n := b.nap(ctx, w, w.Name, []string{ateom, hand, handPlus}, b.iterations(5, 15))
		cold := *b.cold(ctx, w, w.Name, []string{raw}, b.iterations(4, 15))[starting][raw]
		cold.Peer = coldStart
		r.Series = append(r.Series, n.fromEach(ateom, hand, handPlus)...)
		for _, p := range places {
			cold.What = p.what(w.Name)
			r.Series = append(r.Series, cold)
			r.ClaimRatio(p.what(w.Name), ateom, hand, 0.75)
			r.ClaimRatio(p.what(w.Name), ateom, handPlus, 0.9)
			r.ClaimRatio(p.what(w.Name), ateom, coldStart, 0.6)
		}
	}
	return r, ctx.Err()
}
