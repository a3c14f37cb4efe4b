// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"os"
	"os/signal"
	"runtime"

	"github.com/containerd/log"
	"golang.org/x/sys/unix"
)

// stackSize is how much a dump has room for at first.
const stackSize = 64 << 10

// pendingSignals is how many of them wait while one is obeyed.
const pendingSignals = 8

// obey has the process do what signals tell it, until ctx ends: SIGTERM and SIGINT to
// end, SIGUSR1 to write into the log where each of its goroutines is.
func obey(ctx context.Context, end func()) {
	signals := make(chan os.Signal, pendingSignals)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGUSR1)
	go func() {
		defer signal.Stop(signals)
		for {
			select {
			case <-ctx.Done():
				return
			case s := <-signals:
				if s == unix.SIGUSR1 {
					log.G(ctx).Info("goroutines:\n" + stacks())
					continue
				}
				log.G(ctx).WithField("signal", s).Info("told to end")
				end()
			}
		}
	}()
}

// stacks tells where each goroutine is.
func stacks() string {
	for size := stackSize; ; size *= 2 {
		b := make([]byte, size)
		if n := runtime.Stack(b, true); n < size {
			return string(b[:n])
		}
	}
}
