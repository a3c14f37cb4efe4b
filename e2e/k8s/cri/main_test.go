// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cri speaks CRI, as a kubelet does, to real containerds with the
// runtime: what its sandboxes and containers must be for Kubernetes, one call at a
// time, and what the paused ones among them are.
package cri

import (
	"os"
	"testing"

	"github.com/ateom/ateom/e2e/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Run(m)) }

// daemons are the oldest and the newest containerd that docs/operations.md names.
var daemons = []struct{ program, version string }{
	{"containerd", "2.4."},
	{"containerd-1.7", "1.7."},
}

// A check is something that holds for the runtime on every containerd.
type check struct {
	name string
	run  func(*testing.T, *node)
}

// checks are in the order in which a pod lives.
var checks = [][]check{sandboxes, containers, specs, execs, streams, logs, figures, paused, checkpoints}

func TestCRI(t *testing.T) {
	for _, d := range daemons {
		t.Run(d.version+"x", func(t *testing.T) {
			n := start(t, d.program, d.version)
			for _, list := range checks {
				for _, c := range list {
					t.Run(c.name, func(t *testing.T) { c.run(t, n) })
				}
			}
		})
	}
}
