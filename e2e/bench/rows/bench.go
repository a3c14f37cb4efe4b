// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/ateom/ateom/e2e/bench/lab"
	"github.com/ateom/ateom/e2e/bench/peers"
	"github.com/ateom/ateom/e2e/bench/report"
	"github.com/ateom/ateom/e2e/bench/roof"
)

// A Bench is what rows run on. Rows share it: what one has measured already,
// the next does not measure again.
type Bench struct {
	Ground *peers.Ground
	// Peers by name. A peer that could not be set up has an entry in Missing
	// instead, which says why.
	Peers   map[string]peers.Peer
	Missing map[string]string
	// Memhog is the binary of the workload.
	Memhog string
	// Debian is a root file system with Python and Node.
	Debian string
	// Roof is what the machine can do at best.
	Roof []roof.Rate
	// Quick asks for fewer iterations.
	Quick bool
	// Log takes a line for each step.
	Log io.Writer

	naps     map[string]results
	colds    map[string]results
	lineages map[string]results
}

// A Row knows how to measure one line of the table.
type Row struct {
	ID    int
	Title string
	Run   func(context.Context, *Bench) (report.Row, error)
}

// All returns the rows in the order of the table.
func All() []Row {
	return []Row{
		{1, "Pause, request to freeze", freezeRow},
		{2, "Pause until the memory is freed", pauseRow},
		{3, "local Resume of services", programRow},
		{4, "local Resume of 1 GiB", resumeRow},
		{5, "Resume of 1 GiB on another node", remoteRow},
		{6, "Commit Full of 1 GiB", commitRow},
		{7, "Commit again after a change of 1 %", recommitRow},
		{8, "Commit again, nothing changed", idleRow},
		{9, "Commit Data over a shaped link", dataRow},
		{10, "Commit Data of a live volume, downtime", liveRow},
		{11, "Commit Data of a sparse file", sparseRow},
		{12, "readiness: port open to return", readyRow},
		{13, "eight Resumes at once", manyRow},
		{14, "many forks of one snapshot", forkRow},
		{15, "memory of shims and gofers", costRow},
		{16, "cold start through the shim", coldRow},
	}
}

// Names of the peers.
const (
	ateom    = "ateom"
	raw      = "raw"
	hand     = "hand"
	handPlus = "hand+"
	handAWS  = "hand (aws)"
	handTarS = "hand (tar -S)"
	handTar  = "hand (tar)"
	upstream = "upstream"
	// coldStart is raw, where it starts what others resume.
	coldStart = "cold start"
	// wakeUps is nobody's: what the machine takes to pass a request on.
	wakeUps = "wake-ups"
)

// iterations chooses a number of iterations.
func (b *Bench) iterations(quick, full int) int {
	if b.Quick {
		return quick
	}
	return full
}

// memhog is the workload that holds mib MiB.
func (b *Bench) memhog(mib int) peers.Workload {
	return peers.Workload{
		Name:  fmt.Sprintf("memhog%d", mib),
		Port:  8080,
		Ready: "/ready",
		Program: lab.Program{
			Binary: b.Memhog,
			Args:   []string{"/bin/memhog", fmt.Sprintf("-mib=%d", mib), "-listen=:8080"},
		},
	}
}

// entrants splits names into peers that are there and series that say why
// others are not.
func (b *Bench) entrants(names []string) (there []peers.Peer, missing map[string]string) {
	missing = map[string]string{}
	for _, name := range names {
		if p, ok := b.Peers[name]; ok {
			there = append(there, p)
		} else if why, ok := b.Missing[name]; ok {
			missing[name] = why
		} else {
			missing[name] = "not set up"
		}
	}
	return there, missing
}

// rotate returns the order of the i-th round: every peer goes first in turn.
func rotate[T any](xs []T, i int) []T {
	if len(xs) == 0 {
		return nil
	}
	i %= len(xs)
	return append(slices.Clone(xs[i:]), xs[:i]...)
}

func (b *Bench) logf(format string, args ...any) { fmt.Fprintf(b.Log, format+"\n", args...) }

// size names an amount of memory.
func size(mib int) string {
	if mib >= 1024 && mib%1024 == 0 {
		return fmt.Sprintf("%d GiB", mib/1024)
	}
	return fmt.Sprintf("%d MiB", mib)
}
