// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"fmt"
	"os"

	"github.com/containerd/log"
	"golang.org/x/sys/unix"
)

// logName is the FIFO in the bundle from which containerd reads a shim's log.
const logName = "log"

// openLog makes the FIFO the standard error: the log goes there, and what Go's runtime
// says of a process that it ends.
func openLog() error {
	f, err := os.OpenFile(logName, os.O_WRONLY, 0)
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
