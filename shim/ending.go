// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/runsc"
)

// obituaryLimit bounds the wait for the end of a process that has hung up.
const obituaryLimit = time.Second

// withEnding adds to an error that says that the sandbox is gone how its process
// has ended, in the life l; any other error, and nil, is returned as it is.
func (s *Service) withEnding(l *life, err error) error {
	if l == nil || !errors.Is(err, runsc.ErrSandboxGone) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), obituaryLimit)
	defer cancel()
	status, waitErr := s.processes.Wait(ctx, l.pid)
	if waitErr != nil {
		return err // it has hung up, and lives
	}
	return fmt.Errorf("its process (pid %d) %s: %w", l.pid, ending(status), err)
}

// ending says how a process ended that has left that status.
func ending(status int) string {
	if status > 128 {
		if name := unix.SignalName(unix.Signal(status - 128)); name != "" {
			return "was killed by " + name
		}
	}
	return fmt.Sprintf("ended with status %d", status)
}
