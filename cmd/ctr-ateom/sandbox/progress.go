// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"time"

	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/ttrpc"
	"github.com/urfave/cli/v2"

	ateomv1 "github.com/ateom/ateom/proto/ateom/v1"
)

// askTimeout bounds one question about progress: a picture may be late, but
// must not hold up anything.
const askTimeout = time.Second

// A Progress asks a sandbox that may not be there yet how far it is. It is for
// one goroutine.
type Progress struct {
	ctx       context.Context
	id        string
	addresses []string
	client    *ttrpc.Client
}

// NewProgress returns a Progress of the sandbox with that id and group. ctx
// carries containerd's namespace. The caller closes it.
func NewProgress(ctx context.Context, c *cli.Context, id, group string) *Progress {
	// Without an address there is nothing to show, which is no failure.
	addresses, _ := candidates(ctx, c.String("shim-address"), c.String("address"), group)
	return &Progress{ctx: ctx, id: id, addresses: addresses}
}

// Read returns the phase that is under way, empty if none is, the bytes done
// and those in all (0: not known).
func (p *Progress) Read() (phase string, done, total int64) {
	for i := 0; i < len(p.addresses) && p.client == nil; i++ {
		if conn, err := shim.AnonDialer(p.addresses[i], askTimeout); err == nil {
			p.client = ttrpc.NewClient(conn)
		}
	}
	if p.client == nil {
		return "", 0, 0
	}
	ctx, cancel := context.WithTimeout(p.ctx, askTimeout)
	defer cancel()
	status, err := ateomv1.NewSnapshotsClient(p.client).Status(ctx, &ateomv1.StatusRequest{Id: p.id})
	if err != nil {
		return "", 0, 0
	}
	return status.GetProgress().GetPhase(), status.GetProgress().GetBytes(), status.GetProgress().GetTotal()
}

// Close ends the connection.
func (p *Progress) Close() {
	if p.client != nil {
		p.client.Close()
	}
}
