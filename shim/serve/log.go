// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"fmt"
	"os"
	"time"

	"github.com/containerd/log"
	"golang.org/x/sys/unix"
)

// logName is the FIFO in the bundle from which containerd reads a shim's log.
const logName = "log"

// openLog makes the FIFO the standard error: the log goes there, and what Go's runtime
// says of a process that it ends. Without a containerd that reads it, it cannot be opened.
func openLog(limit time.Duration) error {
	f, err := openWithin(logName, limit)
	if err != nil {
		return fmt.Errorf("open the shim's log: %w", err)
	}
	defer f.Close()
	// Fd also has writes wait for containerd, in which a crash must not be cut off.
	if err := unix.Dup3(int(f.Fd()), int(os.Stderr.Fd()), 0); err != nil {
		return fmt.Errorf("open the shim's log: %w", err)
	}
	log.L.Logger.SetOutput(os.Stderr)
	return log.SetFormat(log.TextFormat)
}

// openWithin opens a FIFO for writing, as soon as somebody reads it. After an error the
// process must end: what waits for a reader waits on.
func openWithin(path string, limit time.Duration) (*os.File, error) {
	type result struct {
		file *os.File
		err  error
	}
	opened := make(chan result, 1)
	go func() {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		opened <- result{f, err}
	}()
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	select {
	case r := <-opened:
		return r.file, r.err
	case <-timeout.C:
		return nil, fmt.Errorf("containerd has not read %s for %s, and is gone", path, limit)
	}
}
