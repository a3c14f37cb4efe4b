// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/runsc"
)

// obituaryLimit bounds the wait for the end of a process that has hung up.
const obituaryLimit = time.Second

// withEnding adds to an error that says that the sandbox is gone how its process
// has ended, in the life l, and to one that says that it does not answer what it does
// instead; any other error, and nil, is returned as it is.
func (s *Service) withEnding(l *life, err error) error {
	if l == nil || !errors.Is(err, runsc.ErrSandboxGone) {
		return withState(l, err)
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

// withState adds to an error that says that the sandbox does not answer what its
// process does instead.
func withState(l *life, err error) error {
	var silent *runsc.LimitError
	if l == nil || !errors.As(err, &silent) {
		return err
	}
	return fmt.Errorf("%w; the sandbox's process (pid %d) %s: kill the sandbox, if it stays so", err, l.pid, processState(l.pid))
}

// processState says what a process does, as proc(5) tells it.
func processState(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "is gone"
	}
	// The name before may hold anything but an end of its own.
	_, rest, _ := strings.Cut(string(stat[bytes.LastIndexByte(stat, ')')+1:]), " ")
	switch state, _, _ := strings.Cut(rest, " "); state {
	case "T", "t":
		return "is stopped"
	case "D":
		return "waits for a device"
	case "Z", "X":
		return "has ended"
	default:
		return "lives"
	}
}
