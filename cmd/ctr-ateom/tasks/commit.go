// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package tasks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/urfave/cli/v2"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/cmd/ctr-ateom/exit"
	"github.com/ateom/ateom/cmd/ctr-ateom/sandbox"
	"github.com/ateom/ateom/cmd/ctr-ateom/view"
	ateomv1 "github.com/ateom/ateom/proto/ateom/v1"
)

// commitCommand puts a snapshot of a sandbox into a store.
func commitCommand() *cli.Command {
	return verb(cli.Command{
		Name:  "commit",
		Usage: "Upload a snapshot of the container's sandbox to a store; the last line of output is the snapshot's id",
		Description: "A running sandbox runs on: it is frozen only while its state is captured locally.\n" +
			"A paused one is not woken. Scope Data is the DurableDirs alone, Full is memory and rootfs writes too.",
		Action: commit,
	},
		&cli.StringFlag{Name: "scope", Usage: "`Full|Data` (default: what the sandbox's on-commit annotation says)"},
		&cli.StringFlag{Name: "store", Usage: "`NAME` of a store in the node's configuration, or a URL: file://, s3://, gs://, azblob:// (default: the node's default store)"},
		&cli.BoolFlag{Name: "stop", Usage: "Stop the sandbox once the snapshot is safe"},
	)
}

func commit(c *cli.Context) error {
	scope := artifacts.Scope(c.String("scope"))
	if scope != "" && scope != artifacts.Full && scope != artifacts.Data {
		return exit.Usagef("commit: unknown scope %q: want Full or Data", scope)
	}
	s, ctx, err := sandbox.Open(c)
	if err != nil {
		return err
	}
	defer s.Close()
	if s.Service == nil {
		return exit.WithHint(fmt.Errorf("commit %q: its runtime has no commit: %w", s.ID, errdefs.ErrNotImplemented),
			"run it with --runtime %s", sandbox.Runtime)
	}
	images, err := s.Images(ctx)
	if err != nil {
		return fmt.Errorf("commit %q: %w", s.ID, err)
	}
	done, err := stream(ctx, s, &ateomv1.CommitRequest{
		Id: s.ID, Scope: string(scope), Store: c.String("store"), Stop: c.Bool("stop"), Images: images,
	})
	if err != nil {
		return fmt.Errorf("commit %q: %w", s.ID, err)
	}
	r := newResult(s.ID, c.Command.Name, done.GetSnapshot(), done.GetPhases())
	sent := done.GetBytesSent()
	r.BytesSent = &sent
	if c.Bool("json") {
		return view.JSON(c.App.Writer, r)
	}
	sentence(c.App.Writer, r, "committed")
	if sn := r.Snapshot; sn != nil {
		fmt.Fprintf(c.App.Writer, "%s, %s, %s sent, to %s\n", sn.Scope, view.Bytes(sn.Bytes), view.Bytes(sent), view.Dash(sn.Store))
		fmt.Fprintln(c.App.Writer, sn.ID)
	}
	return nil
}

// stream runs a commit and shows its progress on standard error.
func stream(ctx context.Context, s *sandbox.Container, req *ateomv1.CommitRequest) (_ *ateomv1.CommitDone, err error) {
	events, err := s.Service.Commit(ctx, req)
	if err != nil {
		return nil, errgrpc.ToNative(err)
	}
	progress := view.NewProgress(os.Stderr)
	defer func() { progress.End(err == nil) }()
	for {
		event, err := events.Recv()
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("the shim ended the stream before the snapshot was done: %w", errdefs.ErrUnavailable)
		}
		if err != nil {
			return nil, errgrpc.ToNative(err)
		}
		if p := event.GetProgress(); p != nil {
			progress.Update(p.GetPhase(), p.GetBytes(), p.GetTotal())
		}
		if done := event.GetDone(); done != nil {
			if done.GetSnapshot().GetId() == "" {
				return nil, fmt.Errorf("the shim answered without a snapshot: %w", errdefs.ErrInternal)
			}
			return done, nil
		}
	}
}
