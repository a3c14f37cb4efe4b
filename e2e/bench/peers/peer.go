// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package peers

import (
	"context"
	"time"

	"github.com/ateom/ateom/e2e/bench/lab"
)

// A Peer runs sandboxes in its own way.
type Peer interface {
	// Name as tables show it.
	Name() string
	// Prepare makes all that must exist before w can start: its rootfs, network
	// namespace, spec. Nothing runs yet.
	Prepare(ctx context.Context, w Workload) (Sandbox, error)
	// Account holds every process that works for the peer.
	Account() *lab.Account
	// Close ends the peer's daemons and processes, and removes what it wrote.
	Close() error
}

// A Restorer is a Peer that can start a workload from what a Commit of one of
// its sandboxes has put into the bucket.
type Restorer interface {
	// PrepareFrom prepares w on what counts as another node: Start brings the
	// snapshot's bytes and restores. id is what Commit returned.
	PrepareFrom(ctx context.Context, w Workload, id string) (Sandbox, error)
}

// A Forker is a Peer that can start many workloads on the same node from what
// a Commit of one of its sandboxes has put into the bucket.
type Forker interface {
	// PrepareFork prepares w: Start restores it. id is what Commit returned.
	PrepareFork(ctx context.Context, w Workload, id string) (Sandbox, error)
}

// A Sandbox is one workload of a peer. It is used by one goroutine at a time.
type Sandbox interface {
	// Start starts the workload. It need not be ready yet.
	Start(ctx context.Context) error
	// PID is that of the sandbox's kernel (on the host) while it runs.
	PID(ctx context.Context) (int, error)
	// Pause saves the workload and gives its memory up.
	Pause(ctx context.Context) error
	// Resume brings it back. Whether it answers already is the peer's business;
	// whoever waits for it asks every Poll.
	Resume(ctx context.Context) error
	// Poll is how often somebody who uses the peer asks whether the workload
	// is ready.
	Poll() time.Duration
	// Addr is where the workload answers HTTP: "ip:port".
	Addr() string
	// Share is the host's directory behind Workload.Share.
	Share() string
	// Image is the directory that holds the bytes of the last Pause.
	Image() string
	// Close ends the workload in whatever state it is and removes its files.
	Close() error
}

// A Freezer is a Sandbox that can be frozen and thawed.
type Freezer interface {
	// Freeze returns when the workload stands still, or later.
	Freeze(ctx context.Context) error
	Thaw(ctx context.Context) error
}

// A Blinker is a Sandbox that can be frozen for as short a time as can be.
type Blinker interface {
	Blink(ctx context.Context) error
}

// A Phase is a named stretch of a verb, as the peer itself tells it.
type Phase struct {
	Name string
	Took time.Duration
}

// Phased is a Sandbox that can say what its last verb spent its time on.
type Phased interface {
	Phases(ctx context.Context) ([]Phase, error)
}

// A Workload is what runs.
type Workload struct {
	// Name is unique among workloads and a file name.
	Name    string
	Program lab.Program
	// Port that it answers HTTP on, and Ready the path that answers 200 and
	// counts nothing.
	Port  int
	Ready string
	// Share, if set, is where the workload sees a directory of the host that
	// belongs to its sandbox alone.
	Share string
	// Annotations of the container, for peers that read them.
	Annotations map[string]string
	// Lower, if set, is a root file system that the workload sees with a
	// writable layer of its own over it.
	Lower string
}
