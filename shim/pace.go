// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"time"

	"github.com/containerd/log"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/shim/rundir"
)

// paceLimit bounds the word with a gofer, which only ever gains speed.
const paceLimit = 200 * time.Millisecond

// seatControl is the socket on which the gofer of a restore takes its pace.
func (s *sandbox) seatControl() string { return rundir.Seat(s.cfg.RunDir, s.namespace, s.id) }

// setPace tells the gofer that still loads pages how fast it shall. A gofer
// that has loaded them all is gone.
func (s *sandbox) setPace(ctx context.Context, pace job.Pace) {
	err := s.tellPace(ctx, pace)
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ECONNREFUSED) {
		log.G(ctx).WithError(err).Debug("set the pace of loading pages")
	}
}

func (s *sandbox) tellPace(ctx context.Context, pace job.Pace) error {
	ctx, cancel := context.WithTimeout(ctx, paceLimit)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", s.seatControl())
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	if err := json.NewEncoder(conn).Encode(job.SeatControl{Pace: pace}); err != nil {
		return err
	}
	// The answer says that it was obeyed.
	return json.NewDecoder(conn).Decode(&job.SeatStatus{})
}
