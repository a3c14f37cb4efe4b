// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"context"
	"fmt"
	"time"

	"github.com/ateom/ateom/e2e/bench/lab"
	"github.com/ateom/ateom/e2e/bench/peers"
	"github.com/ateom/ateom/e2e/bench/report"
)

// A nap is what pausing and resuming one workload over and over showed, by
// peer. Each peer has one sandbox that lives through all iterations.
type nap struct {
	pause, resume map[string]*report.Series
}

// nap lets every named peer pause and resume w, unless that was done before.
func (b *Bench) nap(ctx context.Context, w peers.Workload, what string, names []string, iterations int) *nap {
	if n, ok := b.naps[w.Name]; ok {
		return n
	}
	n := &nap{pause: map[string]*report.Series{}, resume: map[string]*report.Series{}}
	there, missing := b.entrants(names)
	for _, name := range names {
		n.pause[name] = &report.Series{Peer: name, What: what, Unit: "ms", Missing: missing[name]}
		n.resume[name] = &report.Series{Peer: name, What: what, Unit: "ms", Missing: missing[name]}
	}
	var sleepers []*sleeper
	for _, p := range there {
		s := &sleeper{peer: p, pause: n.pause[p.Name()], resume: n.resume[p.Name()]}
		sleepers = append(sleepers, s)
		s.fail(b, s.open(ctx, w))
	}
	for i := range iterations + 1 {
		for _, s := range rotate(sleepers, i) {
			if s.pause.Missing == "" {
				s.fail(b, s.cycle(ctx, b, i > 0))
			}
		}
		b.logf("  %s: round %d of %d", w.Name, i, iterations)
	}
	for _, s := range sleepers {
		s.close(b)
	}
	if b.naps == nil {
		b.naps = map[string]*nap{}
	}
	b.naps[w.Name] = n
	return n
}

// A sleeper is one peer's sandbox in a nap.
type sleeper struct {
	peer          peers.Peer
	box           peers.Sandbox
	client        *lab.Client
	memory        string // digest of the workload's memory
	pause, resume *report.Series
}

// open starts the workload and learns what its memory holds.
func (s *sleeper) open(ctx context.Context, w peers.Workload) error {
	ctx, cancel := lab.Deadline(ctx)
	defer cancel()
	box, err := s.peer.Prepare(ctx, w)
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	s.box, s.client = box, lab.NewClient(box.Addr())
	if err := box.Start(ctx); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	s.memory, err = digest(ctx, s.client)
	return err
}

// cycle pauses and resumes once, and takes samples if it counts.
func (s *sleeper) cycle(ctx context.Context, b *Bench, counts bool) error {
	ctx, cancel := lab.Deadline(ctx)
	defer cancel()
	var before, after lab.State
	if err := s.client.Get(ctx, "/", time.Millisecond, &before); err != nil {
		return err
	}
	pause, err := measure(s.peer.Account(), func() error { return s.pauseOnce(ctx) })
	if err != nil {
		return fmt.Errorf("pause: %w", err)
	}
	written, err := lab.DiskUsage(s.box.Image())
	if err != nil {
		return fmt.Errorf("weigh image: %w", err)
	}
	if err := lab.Settle(b.Ground.Dir); err != nil {
		return err
	}
	resume, err := measure(s.peer.Account(), func() error {
		if err := s.box.Resume(ctx); err != nil {
			return err
		}
		return s.client.Get(ctx, "/", s.box.Poll(), &after)
	})
	if err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	if err := lab.SameProcess(before, after); err != nil {
		return err
	}
	memory, err := digest(ctx, s.client)
	if err != nil {
		return err
	}
	if memory != s.memory {
		return fmt.Errorf("prove the restore: the memory's digest was %s and is %s", s.memory, memory)
	}
	if counts {
		pause.addTo(s.pause)
		s.pause.Bytes = append(s.pause.Bytes, float64(written))
		resume.addTo(s.resume)
	}
	return lab.Settle(b.Ground.Dir)
}

// pauseOnce pauses, and returns when the sandbox's kernel has ended: before
// that its memory is not free.
func (s *sleeper) pauseOnce(ctx context.Context) error {
	pid, err := s.box.PID(ctx)
	if err != nil {
		return err
	}
	kernel, err := lab.Watch(pid)
	if err != nil {
		return err
	}
	if err := s.box.Pause(ctx); err != nil {
		kernel.Close()
		return err
	}
	return kernel.Wait(ctx)
}

// fail takes a peer that failed out of the run.
func (s *sleeper) fail(b *Bench, err error) {
	if err == nil {
		return
	}
	b.logf("  %s failed: %v", s.peer.Name(), err)
	s.pause.Missing, s.resume.Missing = err.Error(), err.Error()
}

func (s *sleeper) close(b *Bench) {
	if s.box == nil {
		return
	}
	if err := s.box.Close(); err != nil {
		b.logf("  %s: close: %v", s.peer.Name(), err)
	}
}

// digest asks the workload for the digest of all its memory.
func digest(ctx context.Context, c *lab.Client) (string, error) {
	var d struct{ Digest string }
	if err := c.Get(ctx, "/digest", time.Millisecond, &d); err != nil {
		return "", err
	}
	return d.Digest, nil
}
