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
	"github.com/ateom/ateom/cmd/wire"
	ateomv1 "github.com/ateom/ateom/proto/ateom/v1"
)

// A status is what the command prints with --json.
type status struct {
	wire.Status
	Containers []string  `json:"containers"`
	Progress   *progress `json:"progress,omitempty"`
	// Loading is absent unless the sandbox was restored.
	Loading *loading `json:"loading,omitempty"`
	// Verbs are the last ones that ended, one of a kind, the latest first.
	Verbs []verbReport `json:"verbs"`
}

// loading is how far the memory of a restored sandbox has come, in bytes.
type loading struct {
	Total     int64  `json:"total"`
	Asked     int64  `json:"asked"`
	Waited    int64  `json:"waited"`
	Fetched   int64  `json:"fetched"`
	Verified  int64  `json:"verified"`
	Loaded    int64  `json:"loaded"`
	Remaining int64  `json:"remaining"`
	Ended     bool   `json:"ended"`
	Error     string `json:"error,omitempty"`
	// Took is how long it has taken so far, or until it ended.
	Took time.Duration `json:"nanoseconds"`
}

// progress is how far the verb under way is; a total of 0 is not known.
type progress struct {
	Phase string `json:"phase"`
	Bytes int64  `json:"bytes"`
	Total int64  `json:"total"`
}

// A verbReport is a verb that has ended; cause and error are empty if it ended well.
type verbReport struct {
	Verb   string        `json:"verb"`
	Start  time.Time     `json:"start"`
	Phases []wire.Phase  `json:"phases"`
	Took   time.Duration `json:"nanoseconds"`
	// FirstInstruction is how long after the request programs that came back ran,
	// at the latest; absent if none did.
	FirstInstruction time.Duration `json:"firstInstruction,omitempty"`

	Cause string `json:"cause,omitempty"`
	Error string `json:"error,omitempty"`
}

// statusCommand shows what a sandbox is doing; it answers in every state.
func statusCommand() *cli.Command {
	return verb(cli.Command{
		Name:  "status",
		Usage: "Show the state of the container's sandbox, its snapshot, what is loaded, and the times of its last verbs",
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
	st := status{
		Status:     wire.Status{ID: id, State: resp.GetState(), Snapshot: newSnapshot(resp.GetSnapshot())},
		Containers: resp.GetContainers(),
	}
	if p := resp.GetProgress(); p != nil {
		st.Progress = &progress{Phase: p.GetPhase(), Bytes: p.GetBytes(), Total: p.GetTotal()}
	}
	if l := resp.GetLoading(); l != nil {
		st.Loading = &loading{
			Total: l.GetTotal(), Asked: l.GetAsked(), Waited: l.GetWaited(), Fetched: l.GetFetched(), Verified: l.GetVerified(),
			Loaded: l.GetLoaded(), Remaining: l.GetRemaining(), Ended: l.GetEnded(), Error: l.GetError(),
			Took: time.Duration(l.GetNanos()),
		}
	}
	st.Verbs = []verbReport{}
	for _, v := range resp.GetVerbs() {
		r := newResult(id, strings.ToLower(v.GetVerb()), nil, v.GetPhases())
		st.Verbs = append(st.Verbs, verbReport{
			Verb: r.Verb, Start: v.GetStart().AsTime(), Phases: r.Phases, Took: r.Took, Cause: v.GetCause(), Error: v.GetError(),
			FirstInstruction: time.Duration(v.GetFirstInstructionNanos()),
		})
	}
	return st
}

func (st status) show(c *cli.Context) error {
	fields := [][2]string{{"state", st.State}, {"containers", strings.Join(st.Containers, " ")}}
	if st.Snapshot != nil {
		fields = append(fields, [2]string{"snapshot", describe(st.Snapshot)})
	}
	if p := st.Progress; p != nil {
		text := p.Phase + " " + view.Bytes(p.Bytes)
		if p.Total > 0 {
			text += " of " + view.Bytes(p.Total)
		}
		fields = append(fields, [2]string{"progress", text})
	}
	if st.Loading != nil {
		fields = append(fields, [2]string{"memory", st.Loading.String()})
	}
	for _, v := range st.Verbs {
		fields = append(fields, [2]string{"last " + v.Verb, v.String()})
	}
	return view.Fields(c.App.Writer, fields...)
}

// String describes what is loaded in one line.
func (l *loading) String() string {
	if l.Error != "" {
		return "loading failed: " + l.Error
	}
	text := fmt.Sprintf("%s of %s loaded (asked %s, fetched %s, verified %s", view.Bytes(l.Loaded), view.Bytes(l.Total),
		view.Bytes(l.Asked), view.Bytes(l.Fetched), view.Bytes(l.Verified))
	if l.Ended {
		return text + ") in " + view.Duration(l.Took)
	}
	return text + ", remaining " + view.Bytes(l.Remaining) + ")"
}

// String describes the verb in one line.
func (v verbReport) String() string {
	text := v.Start.Local().Format(time.TimeOnly) + ", " + view.Duration(v.Took)
	if list := view.Phases(v.Phases); list != "" {
		text += " (" + list + ")"
	}
	text += firstInstruction(v.FirstInstruction)
	if v.Cause != "" {
		text += ", " + v.Cause + ": " + v.Error
	}
	return text
}
