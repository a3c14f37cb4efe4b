// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	cgroup1 "github.com/containerd/cgroups/v3/cgroup1/stats"
	cgroup2 "github.com/containerd/cgroups/v3/cgroup2/stats"
	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/ateom/ateom/runsc"
	"github.com/ateom/ateom/shim/cgroup"
)

// statsLimit bounds the question to a sandbox that is busy; what it said last
// is the answer then. containerd's clients ask every few seconds.
const statsLimit = time.Second

// Stats returns a container's counters in the form of the machine's cgroup
// version. A paused container uses nothing, since its memory is on disk, and
// has used what it had used when it was frozen. A sandbox that is being saved is
// not asked.
func (s *Service) Stats(ctx context.Context, r *taskapi.StatsRequest) (*taskapi.StatsResponse, error) {
	sb, c, err := s.lookup(r.GetID())
	if err != nil {
		return nil, err
	}
	stats, err := sb.stats(ctx, c)
	if err != nil {
		return nil, err
	}
	var metrics any = metricsV1(stats)
	if cgroup.Unified() {
		metrics = metricsV2(stats)
	}
	data, err := typeurl.MarshalAnyToProto(metrics)
	if err != nil {
		return nil, fmt.Errorf("encode stats of %s: %w", c.id, err)
	}
	return &taskapi.StatsResponse{Stats: data}, nil
}

// stats asks the sandbox, where it can answer at once.
func (s *sandbox) stats(ctx context.Context, c *container) (*runsc.Stats, error) {
	switch state := s.column(c.init); {
	case state == Created || state == Stopped:
		return &runsc.Stats{}, nil
	case state == Resuming || s.currentLife() == nil:
		asleep := c.statsNoted()
		asleep.Memory.Cache, asleep.Memory.Usage.Usage, asleep.Pids.Current = 0, 0, 0
		return &asleep, nil
	case state != Running:
		noted := c.statsNoted()
		return &noted, nil
	}
	ctx, cancel := context.WithTimeout(ctx, statsLimit)
	defer cancel()
	stats, err := s.control.Stats(ctx, c.id)
	if errors.Is(err, context.DeadlineExceeded) {
		noted := c.statsNoted()
		return &noted, nil
	}
	if err == nil {
		c.noteStats(stats)
	}
	return stats, err
}

// noteStats notes the counters of a sandbox that is about to be unable to tell them.
func (s *sandbox) noteStats(ctx context.Context, live []*container) {
	ctx, cancel := context.WithTimeout(ctx, statsLimit)
	defer cancel()
	for _, c := range live {
		stats, err := s.control.Stats(ctx, c.id)
		if err != nil {
			log.G(ctx).WithError(err).WithField("container", c.id).Debug("note counters")
			continue
		}
		c.noteStats(stats)
	}
}

func metricsV1(s *runsc.Stats) *cgroup1.Metrics {
	return &cgroup1.Metrics{
		CPU: &cgroup1.CPUStat{Usage: &cgroup1.CPUUsage{
			Total: s.CPU.Usage.Total, Kernel: s.CPU.Usage.Kernel, User: s.CPU.Usage.User, PerCPU: s.CPU.Usage.PerCPU,
		}},
		Memory: &cgroup1.MemoryStat{
			Cache: s.Memory.Cache,
			Usage: &cgroup1.MemoryEntry{Limit: s.Memory.Usage.Limit, Usage: s.Memory.Usage.Usage, Max: s.Memory.Usage.Max},
		},
		Pids: &cgroup1.PidsStat{Current: s.Pids.Current, Limit: s.Pids.Limit},
	}
}

func metricsV2(s *runsc.Stats) *cgroup2.Metrics {
	const nanosPerMicro = 1000
	return &cgroup2.Metrics{
		CPU: &cgroup2.CPUStat{
			UsageUsec: s.CPU.Usage.Total / nanosPerMicro, UserUsec: s.CPU.Usage.User / nanosPerMicro, SystemUsec: s.CPU.Usage.Kernel / nanosPerMicro,
		},
		Memory: &cgroup2.MemoryStat{Usage: s.Memory.Usage.Usage, UsageLimit: s.Memory.Usage.Limit, File: s.Memory.Cache},
		Pids:   &cgroup2.PidsStat{Current: s.Pids.Current, Limit: s.Pids.Limit},
	}
}

// Update changes resource limits. Those of a paused sandbox hold from its resume on.
func (s *Service) Update(ctx context.Context, r *taskapi.UpdateTaskRequest) (*emptypb.Empty, error) {
	sb, c, err := s.lookup(r.GetID())
	if err != nil {
		return nil, err
	}
	if r.GetResources() == nil {
		return nil, fmt.Errorf("update %s: no resources: %w", c.id, errdefs.ErrInvalidArgument)
	}
	var resources specs.LinuxResources
	if err := json.Unmarshal(r.GetResources().GetValue(), &resources); err != nil {
		return nil, fmt.Errorf("update %s: decode resources: %w: %w", c.id, err, errdefs.ErrInvalidArgument)
	}
	ctx, end, err := sb.begin(ctx, verbUpdate)
	if err != nil {
		return nil, err
	}
	defer end()
	if sb.machine.state() != Paused {
		if err := sb.runsc.Update(ctx, c.id, &resources); err != nil {
			return nil, err
		}
	}
	// The bundle is what the next resume creates the container from.
	if c.spec.Linux.Resources == nil {
		c.spec.Linux.Resources = &specs.LinuxResources{}
	}
	if err := json.Unmarshal(r.GetResources().GetValue(), c.spec.Linux.Resources); err != nil {
		return nil, fmt.Errorf("update %s: %w", c.id, err)
	}
	return &emptypb.Empty{}, writeSpec(c.bundle, c.spec)
}
