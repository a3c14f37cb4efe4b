// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package tasks

import (
	"fmt"
	"time"

	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/urfave/cli/v2"

	"github.com/ateom/ateom/cmd/ctr-ateom/sandbox"
	"github.com/ateom/ateom/cmd/ctr-ateom/view"
	ateomv1 "github.com/ateom/ateom/proto/ateom/v1"
)

// pauseCommand pauses through the snapshot service, or by stock for the
// containers of other runtimes.
func pauseCommand(stock cli.ActionFunc) *cli.Command {
	return verb(cli.Command{
		Name:  "pause",
		Usage: "Pause an existing container; ateom saves the sandbox to this node's disk and frees its memory",
		Action: func(c *cli.Context) error {
			s, ctx, err := sandbox.Open(c)
			if err != nil {
				return err
			}
			defer s.Close()
			if s.Service == nil {
				return stock(c)
			}
			resp, err := s.Service.Pause(ctx, &ateomv1.PauseRequest{Id: s.ID})
			if err != nil {
				return fmt.Errorf("pause %q: %w", s.ID, errgrpc.ToNative(err))
			}
			r := newResult(s.ID, c.Command.Name, resp.GetSnapshot(), resp.GetPhases())
			if c.Bool("json") {
				return view.JSON(c.App.Writer, r)
			}
			if r.Snapshot == nil { // by the container's pause-return
				sentence(c.App.Writer, r, "froze")
				fmt.Fprintf(c.App.Writer, "it is being saved; ctr-ateom tasks status %s tells when it is paused\n", s.ID)
				return nil
			}
			sentence(c.App.Writer, r, "paused")
			fmt.Fprintf(c.App.Writer, "snapshot %s\n", describe(r.Snapshot))
			return nil
		},
	})
}

// resumeCommand resumes through the snapshot service, or by stock for the
// containers of other runtimes.
func resumeCommand(stock cli.ActionFunc) *cli.Command {
	return verb(cli.Command{
		Name:  "resume",
		Usage: "Resume a paused container; with ateom it returns when the readiness probes pass",
		Action: func(c *cli.Context) error {
			s, ctx, err := sandbox.Open(c)
			if err != nil {
				return err
			}
			defer s.Close()
			if s.Service == nil {
				return stock(c)
			}
			resp, err := s.Service.Resume(ctx, &ateomv1.ResumeRequest{Id: s.ID})
			if err != nil {
				return fmt.Errorf("resume %q: %w", s.ID, errgrpc.ToNative(err))
			}
			r := newResult(s.ID, c.Command.Name, nil, resp.GetPhases())
			r.FirstInstruction = time.Duration(resp.GetFirstInstructionNanos())
			if c.Bool("json") {
				return view.JSON(c.App.Writer, r)
			}
			sentence(c.App.Writer, r, "resumed")
			return nil
		},
	})
}
