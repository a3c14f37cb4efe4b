// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package reap

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/containerd/containerd/v2/pkg/sys/reaper"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"
)

// pendingSignals is how many signals wait while others are handled: those of children
// that ended at the same time are one.
const pendingSignals = 32

// Children makes the process the one that waits for its descendants, until ctx ends.
// Starter and Exits need it. A broken pipe is an error of the write from then on, also
// where it is the process's output: the one into which a shim logs ends with containerd.
func Children(ctx context.Context) error {
	if err := reaper.SetSubreaper(1); err != nil {
		return fmt.Errorf("adopt descendants: %w", err)
	}
	signals := make(chan os.Signal, pendingSignals)
	signal.Notify(signals, unix.SIGCHLD, unix.SIGPIPE)
	go func() {
		defer signal.Stop(signals)
		for {
			select {
			case <-ctx.Done():
				return
			case s := <-signals:
				if s != unix.SIGCHLD {
					continue
				}
				if err := reaper.Reap(); err != nil {
					log.G(ctx).WithError(err).Error("wait for children")
				}
			}
		}
	}()
	return nil
}
