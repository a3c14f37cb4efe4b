// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package tasks

import (
	"fmt"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/urfave/cli/v2"

	"github.com/ateom/ateom/cmd/ctr-ateom/exit"
	"github.com/ateom/ateom/cmd/ctr-ateom/sandbox"
	"github.com/ateom/ateom/cmd/ctr-ateom/view"
	ateomv1 "github.com/ateom/ateom/proto/ateom/v1"
)

// A status is what the command prints with --json.
type status struct {
	ID         string    `json:"id"`
	State      string    `json:"state"`
	Containers []string  `json:"containers"`
	Snapshot   *snapshot `json:"snapshot,omitempty"`
	Progress   *progress `json:"progress,omitempty"`
	Last       *last     `json:"last,omitempty"`
}

// progress is how far the verb under way is; a total of 0 is not known.
type progress struct {
	Phase string `json:"phase"`
	Bytes int64  `json:"bytes"`
	Total int64  `json:"total"`
}

// last is the verb that ended last.
type last struct {
	Verb   string        `json:"verb"`
	Phases []phase       `json:"phases"`
	Took   time.Duration `json:"nanoseconds"`
}

// statusCommand shows what a sandbox is doing; it answers in every state.
func statusCommand() *cli.Command {
	return verb(cli.Command{
		Name:  "status",
		Usage: "Show the state of the container's sandbox, its snapshot and the times of the last verb",
		Action: func(c *cli.Context) error {
			s, ctx, err := sandbox.Open(c)
			if err != nil {
				return err
			}
			defer s.Close()
			if s.Service == nil {
				return exit.WithHint(fmt.Errorf("status of %q: its runtime has no such service: %w", s.ID, errdefs.ErrNotImplemented),
					"ctr-ateom tasks ls shows the tasks of every runtime")
			}
			resp, err := s.Service.Status(ctx, &ateomv1.StatusRequest{Id: s.ID})
			if err != nil {
				return fmt.Errorf("status of %q: %w", s.ID, errgrpc.ToNative(err))
			}
			st := newStatus(s.ID, resp)
			if c.Bool("json") {
				return view.JSON(c.App.Writer, st)
			}
			return st.show(c)
		},
	})
}

func newStatus(id string, resp *ateomv1.StatusResponse) status {
	st := status{ID: id, State: resp.GetState(), Containers: resp.GetContainers(), Snapshot: newSnapshot(resp.GetSnapshot())}
	if p := resp.GetProgress(); p != nil {
		st.Progress = &progress{Phase: p.GetPhase(), Bytes: p.GetBytes(), Total: p.GetTotal()}
	}
	if resp.GetVerb() != "" {
		r := newResult(id, strings.ToLower(resp.GetVerb()), nil, resp.GetLast())
		st.Last = &last{Verb: r.Verb, Phases: r.Phases, Took: r.Took}
	}
	return st
}

func (st status) show(c *cli.Context) error {
	fields := [][2]string{{"state", st.State}, {"containers", strings.Join(st.Containers, " ")}}
	if st.Snapshot != nil {
		fields = append(fields, [2]string{"snapshot", st.Snapshot.String()})
	}
	if p := st.Progress; p != nil {
		text := p.Phase + " " + view.Bytes(p.Bytes)
		if p.Total > 0 {
			text += " of " + view.Bytes(p.Total)
		}
		fields = append(fields, [2]string{"progress", text})
	}
	if l := st.Last; l != nil {
		text := l.Verb + " in " + view.Duration(l.Took)
		if list := phaseList(l.Phases); list != "" {
			text += " (" + list + ")"
		}
		fields = append(fields, [2]string{"last verb", text})
	}
	return view.Fields(c.App.Writer, fields...)
}
