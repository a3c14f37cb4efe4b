// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	eventstypes "github.com/containerd/containerd/api/events"
	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/types/known/emptypb"
)

// Pause implements the task service's verb: containerd's own clients pause a
// sandbox with it.
func (s *Service) Pause(ctx context.Context, r *taskapi.PauseRequest) (*emptypb.Empty, error) {
	sb, _, err := s.lookup(r.GetID())
	if err != nil {
		return nil, err
	}
	_, err = s.pause(ctx, sb)
	return &emptypb.Empty{}, err
}

// Resume implements the task service's verb.
func (s *Service) Resume(ctx context.Context, r *taskapi.ResumeRequest) (*emptypb.Empty, error) {
	sb, _, err := s.lookup(r.GetID())
	if err != nil {
		return nil, err
	}
	_, err = s.resume(ctx, sb)
	return &emptypb.Empty{}, err
}

// Checkpoint commits to what the path says: a store's URL as it is, a
// directory as a store in that directory. containerd's clients pause before
// and resume after, so that it works in both states.
func (s *Service) Checkpoint(ctx context.Context, r *taskapi.CheckpointTaskRequest) (*emptypb.Empty, error) {
	sb, c, err := s.lookup(r.GetID())
	if err != nil {
		return nil, err
	}
	// CRI's CheckpointContainer arrives here. What it asks for, one container's
	// memory without the others', is nothing that a gVisor kernel could be put
	// together from again.
	if sb.cri && !c.isRoot(sb) {
		return nil, fmt.Errorf("checkpoint %s: a container of a pod cannot be saved alone, since its sandbox is one kernel; "+
			"commit the pod with kubectl ateom commit, or with ctr-ateom tasks commit: %w", c.id, errdefs.ErrNotImplemented)
	}
	store, dir := r.GetPath(), ""
	switch {
	case store == "":
		return nil, fmt.Errorf("checkpoint %s: no path: %w", c.id, errdefs.ErrInvalidArgument)
	case strings.Contains(store, "://"):
	case !filepath.IsAbs(store):
		return nil, fmt.Errorf("checkpoint %s: want an absolute path or a store's URL, got %q: %w", c.id, store, errdefs.ErrInvalidArgument)
	default:
		dir, store = store, fileURL(store)
	}
	plan, err := sb.planCommit("", store, nil)
	if err != nil {
		return nil, err
	}
	if dir != "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("checkpoint %s: %w", c.id, err)
		}
	}
	_, err = s.commit(ctx, sb, plan, sb.noteProgress)
	sb.setProgress(nil)
	if err != nil {
		return nil, err
	}
	s.events.put(&eventstypes.TaskCheckpointed{ContainerID: c.id, Checkpoint: r.GetPath()})
	return &emptypb.Empty{}, nil
}
