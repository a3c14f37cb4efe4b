// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"context"
	"fmt"

	"github.com/ateom/ateom/e2e/bench/lab"
	"github.com/ateom/ateom/e2e/bench/peers"
)

// Measurements of a nap.
const (
	pausing  = "pause"
	resuming = "resume"
)

// nap lets every named peer pause and resume w over and over, unless that was
// done before. Each peer has one sandbox that lives through all iterations.
func (b *Bench) nap(ctx context.Context, w peers.Workload, what string, names []string, iterations int) results {
	if n, ok := b.naps[w.Name]; ok {
		return n
	}
	n := contest{
		bench: b, workload: w, names: names, iterations: iterations, what: what,
		units: map[string]string{pausing: "ms", inCache.key: "ms", onDisk.key: "ms"},
		step: func(ctx context.Context, c *contestant) error {
			for _, p := range places {
				if err := c.nap(ctx, b.Ground.Dir, p); err != nil {
					return err
				}
			}
			return nil
		},
	}.run(ctx)
	if b.naps == nil {
		b.naps = map[string]results{}
	}
	b.naps[w.Name] = n
	return n
}

// nap pauses, resumes from an image in that place, and proves the resume.
func (c *contestant) nap(ctx context.Context, disk string, from place) error {
	if c.memory == "" {
		var err error
		if c.memory, err = c.digest(ctx); err != nil {
			return err
		}
	}
	before, err := c.state(ctx)
	if err != nil {
		return err
	}
	pause, err := measure(c.peer.Account(), func() error { return c.pause(ctx) })
	if err != nil {
		return fmt.Errorf("pause: %w", err)
	}
	if err := c.sample(ctx, pausing, pause); err != nil {
		return err
	}
	if err := c.weigh(pausing); err != nil {
		return err
	}
	if err := lab.Settle(disk); err != nil {
		return err
	}
	if err := from.move(c.box.Image()); err != nil {
		return err
	}
	var after lab.State
	resume, err := measure(c.peer.Account(), func() error {
		if err := c.box.Resume(ctx); err != nil {
			return err
		}
		return c.client.Get(ctx, "/", c.box.Poll(), &after)
	})
	if err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	if err := c.prove(ctx, before, after); err != nil {
		return err
	}
	return c.sample(ctx, from.key, resume)
}

// weigh appends the bytes that the last pause has left on the disk.
func (c *contestant) weigh(key string) error {
	written, err := lab.DiskUsage(c.box.Image())
	if err != nil {
		return fmt.Errorf("weigh image: %w", err)
	}
	if c.counts() {
		c.series[key].Bytes = append(c.series[key].Bytes, float64(written))
	}
	return nil
}

// prove returns an error unless after is the process that before was, with the
// same memory.
func (c *contestant) prove(ctx context.Context, before, after lab.State) error {
	if err := lab.SameProcess(before, after); err != nil {
		return err
	}
	memory, err := c.digest(ctx)
	if err != nil {
		return err
	}
	if memory != c.memory {
		return fmt.Errorf("prove the restore: the memory's digest was %s and is %s", c.memory, memory)
	}
	return nil
}

// pause pauses, and returns when the sandbox's kernel has ended: before that
// its memory is not free.
func (c *contestant) pause(ctx context.Context) error {
	pid, err := c.box.PID(ctx)
	if err != nil {
		return err
	}
	kernel, err := lab.Watch(pid)
	if err != nil {
		return err
	}
	if err := c.box.Pause(ctx); err != nil {
		kernel.Close()
		return err
	}
	return kernel.Wait(ctx)
}
