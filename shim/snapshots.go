// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/artifacts/local"
	ateomv1 "github.com/ateom/ateom/proto/ateom/v1"
)

// snapshots is the Service under the names of ateom.v1.Snapshots, which the
// task service has too.
type snapshots struct{ *Service }

// localStore is what answers call the node's own store.
const localStore = "local"

func (s snapshots) Pause(ctx context.Context, r *ateomv1.PauseRequest) (*ateomv1.PauseResponse, error) {
	sb, _, err := s.lookup(r.GetId())
	if err != nil {
		return nil, err
	}
	out, err := s.pause(ctx, sb)
	if err != nil {
		return nil, err
	}
	resp := &ateomv1.PauseResponse{Phases: out.phases}
	if out.snap != nil {
		resp.Snapshot = describe(out.snap.Manifest, localStore)
	}
	return resp, nil
}

func (s snapshots) Resume(ctx context.Context, r *ateomv1.ResumeRequest) (*ateomv1.ResumeResponse, error) {
	sb, _, err := s.lookup(r.GetId())
	if err != nil {
		return nil, err
	}
	clock, err := s.resume(ctx, sb)
	if err != nil {
		return nil, err
	}
	return &ateomv1.ResumeResponse{Phases: clock.phases, FirstInstructionNanos: clock.firstInstruction.Nanoseconds()}, nil
}

// progressInterval spaces the messages of a stream.
const progressInterval = 50 * time.Millisecond

func (s snapshots) Commit(ctx context.Context, r *ateomv1.CommitRequest, stream ateomv1.Snapshots_CommitServer) error {
	sb, _, err := s.lookup(r.GetId())
	if err != nil {
		return err
	}
	plan, err := sb.planCommit(r.GetScope(), r.GetStore(), r.GetImages())
	if err != nil {
		return err
	}
	done, err := s.commit(ctx, sb, plan, streamProgress(sb, stream))
	sb.setProgress(nil)
	if err != nil {
		return err
	}
	if r.GetStop() {
		// It may have been deleted while the snapshot was on its way.
		if root, err := sb.container(sb.id); err == nil {
			if err := s.killHard(ctx, sb, root, verbCommit); err != nil {
				return err
			}
		}
	}
	name := plan.store.Name
	if name == "" {
		name = plan.store.URL
	}
	return stream.Send(&ateomv1.CommitEvent{Event: &ateomv1.CommitEvent_Done{Done: &ateomv1.CommitDone{
		Snapshot: describe(done.manifest, name), Phases: done.phases, BytesSent: done.sent,
	}}})
}

// streamProgress passes a gofer's progress on, not more often than anybody can
// see. A client that went away is noticed at the end.
func streamProgress(sb *sandbox, stream ateomv1.Snapshots_CommitServer) func(*job.Event) {
	var mu sync.Mutex
	var last time.Time
	return func(e *job.Event) {
		sb.noteProgress(e)
		mu.Lock()
		defer mu.Unlock()
		if time.Since(last) < progressInterval {
			return
		}
		last = time.Now()
		_ = stream.Send(&ateomv1.CommitEvent{Event: &ateomv1.CommitEvent_Progress{
			Progress: &ateomv1.Progress{Phase: e.Phase, Bytes: e.Bytes, Total: e.Total},
		}})
	}
}

func (s snapshots) Status(_ context.Context, r *ateomv1.StatusRequest) (*ateomv1.StatusResponse, error) {
	sb, _, err := s.lookup(r.GetId())
	if err != nil {
		return nil, err
	}
	resp := &ateomv1.StatusResponse{State: string(sb.machine.state()), Loading: sb.loading()}
	if resp.State == string(Running) && sb.stuck() != nil {
		resp.State = stuckWord
	}
	for _, c := range sb.all() {
		resp.Containers = append(resp.Containers, c.id)
	}
	sb.mu.Lock()
	defer sb.mu.Unlock()
	resp.Verbs, resp.Progress = sb.reports, sb.progress
	if len(sb.reports) > 0 {
		resp.Last, resp.Verb = sb.reports[0].GetPhases(), sb.reports[0].GetVerb()
	}
	if sb.paused != nil && resp.State == string(Paused) {
		resp.Snapshot = describe(sb.paused.Manifest, localStore)
	}
	return resp, nil
}

func (s snapshots) List(_ context.Context, r *ateomv1.ListRequest) (*ateomv1.ListResponse, error) {
	sb, _, err := s.lookup(r.GetId())
	if err != nil {
		return nil, err
	}
	defer giveBack() // it has looked through all of the node's
	resp := &ateomv1.ListResponse{}
	err = sb.local.Each(sb.id, func(snap *local.Snapshot) {
		if m := snap.Manifest; m.Sandbox.ID == sb.id && m.Sandbox.Namespace == sb.namespace {
			resp.Snapshots = append(resp.Snapshots, describe(m, localStore))
		}
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(resp.Snapshots, func(a, b *ateomv1.Snapshot) int { return strings.Compare(a.GetId(), b.GetId()) })
	return resp, nil
}

func describe(m *artifacts.Manifest, store string) *ateomv1.Snapshot {
	out := &ateomv1.Snapshot{Id: string(m.ID), Scope: string(m.Scope), Store: store, Created: timestamppb.New(m.Created)}
	for _, p := range m.Parts {
		out.Bytes += p.Size
	}
	return out
}
