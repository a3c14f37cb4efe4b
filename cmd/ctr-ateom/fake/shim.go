// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ateom/ateom/artifacts"
	ateomv1 "github.com/ateom/ateom/proto/ateom/v1"
)

// SnapshotID is the id of the snapshot that the shim answers with.
const SnapshotID = "01jd0000000000000000000000"

// ServeShim serves the snapshot service at path until the returned function is
// called. If paused is not empty, all its sandboxes are paused in that snapshot.
func ServeShim(path string, paused artifacts.ID, log *Log) (stop func() error, err error) {
	srv, err := ttrpc.NewServer()
	if err != nil {
		return nil, fmt.Errorf("make ttrpc server: %w", err)
	}
	ateomv1.RegisterSnapshotsService(srv, &shim{log, paused})
	l, err := listen(path)
	if err != nil {
		return nil, err
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(context.Background(), l) }()
	return func() error {
		err := srv.Close()
		<-done
		return err
	}, nil
}

type shim struct {
	log    *Log
	paused artifacts.ID
}

// failures are the errors by the id of the container that is asked for.
var failures = map[string]error{
	"stopped":  fmt.Errorf("no container of the sandbox runs: %w", errdefs.ErrFailedPrecondition),
	"unready":  fmt.Errorf("probe tcp :8080 of container unready: connection refused: %w", context.DeadlineExceeded),
	"damaged":  fmt.Errorf("part pages: chunk 7 differs from its digest: %w", errdefs.ErrDataLoss),
	"nobucket": fmt.Errorf("open store b1: connection refused: %w", errdefs.ErrUnavailable),
	"noright":  fmt.Errorf("put snapshots/x/manifest.json: 403: %w", errdefs.ErrPermissionDenied),
}

func fail(id string) error {
	if err := failures[id]; err != nil {
		return errgrpc.ToGRPC(err)
	}
	return nil
}

func (s *shim) snapshot(scope, store string) *ateomv1.Snapshot {
	return &ateomv1.Snapshot{
		Id: SnapshotID, Scope: scope, Store: store, Bytes: 64 << 20,
		Created: timestamppb.New(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)),
	}
}

func phases(names ...string) []*ateomv1.Phase {
	var out []*ateomv1.Phase
	for i, n := range names {
		out = append(out, &ateomv1.Phase{Name: n, Nanos: int64(i+1) * int64(100*time.Millisecond)})
	}
	return out
}

func (s *shim) Pause(_ context.Context, r *ateomv1.PauseRequest) (*ateomv1.PauseResponse, error) {
	s.log.add("shim pause %s", r.GetId())
	if err := fail(r.GetId()); err != nil {
		return nil, err
	}
	return &ateomv1.PauseResponse{Snapshot: s.snapshot("Full", ""), Phases: phases("freeze", "save")}, nil
}

func (s *shim) Resume(_ context.Context, r *ateomv1.ResumeRequest) (*ateomv1.ResumeResponse, error) {
	s.log.add("shim resume %s", r.GetId())
	if err := fail(r.GetId()); err != nil {
		return nil, err
	}
	return &ateomv1.ResumeResponse{Phases: phases("create", "restore", "ready"), FirstInstructionNanos: 3e8}, nil
}

func (s *shim) Commit(_ context.Context, r *ateomv1.CommitRequest, stream ateomv1.Snapshots_CommitServer) error {
	s.log.add("shim commit %s scope=%s store=%s stop=%t images=%v", r.GetId(), r.GetScope(), r.GetStore(), r.GetStop(), sorted(r.GetImages()))
	if err := fail(r.GetId()); err != nil {
		return err
	}
	for _, p := range []*ateomv1.Progress{
		{Phase: "capture"}, {Phase: "upload", Total: 64 << 20},
		{Phase: "upload", Bytes: 32 << 20, Total: 64 << 20}, {Phase: "upload", Bytes: 64 << 20, Total: 64 << 20},
	} {
		if err := stream.Send(&ateomv1.CommitEvent{Event: &ateomv1.CommitEvent_Progress{Progress: p}}); err != nil {
			return err
		}
	}
	if r.GetId() == "halfway" {
		return nil // a shim that ends before it is done
	}
	return stream.Send(&ateomv1.CommitEvent{Event: &ateomv1.CommitEvent_Done{Done: &ateomv1.CommitDone{
		Snapshot: s.snapshot(r.GetScope(), r.GetStore()), Phases: phases("freeze", "capture", "upload"), BytesSent: 16 << 20,
	}}})
}

func sorted(m map[string]string) []string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, k+"="+m[k])
	}
	return out
}

func (s *shim) Status(_ context.Context, r *ateomv1.StatusRequest) (*ateomv1.StatusResponse, error) {
	at := timestamppb.New(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	resp := &ateomv1.StatusResponse{State: "running", Containers: []string{r.GetId(), "sidecar"},
		Loading: &ateomv1.Loading{Total: 64 << 20, Asked: 16 << 20, Waited: 1 << 20, Fetched: 17 << 20, Verified: 17 << 20, Loaded: 16 << 20, Remaining: 48 << 20},
		Verbs: []*ateomv1.VerbReport{
			{Verb: "Resume", Start: at, Phases: phases("create", "ready"), FirstInstructionNanos: 1e8},
			{Verb: "Commit", Start: at, Phases: phases("prepare", "failed"), Cause: "unavailable", Error: "the bucket is away"},
		}}
	switch {
	case r.GetId() == "loaded":
		resp.Loading.Loaded, resp.Loading.Remaining, resp.Loading.Ended, resp.Loading.Nanos = resp.Loading.Total, 0, true, 2e8
	case s.paused != "":
		resp.State, resp.Snapshot = "paused", &ateomv1.Snapshot{Id: string(s.paused)}
	case r.GetId() == "asleep":
		resp.State, resp.Snapshot = "paused", s.snapshot("Full", "")
	case r.GetId() == "busy":
		resp.State, resp.Progress = "committing", &ateomv1.Progress{Phase: "upload", Bytes: 1 << 20, Total: 4 << 20}
	}
	return resp, nil
}

func (s *shim) List(context.Context, *ateomv1.ListRequest) (*ateomv1.ListResponse, error) {
	return &ateomv1.ListResponse{Snapshots: []*ateomv1.Snapshot{s.snapshot("Full", "")}}, nil
}
