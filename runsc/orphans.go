// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package runsc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// KillOrphans kills every process that works for the sandbox of r's root
// directory, and waits for their ends until ctx is done. A runsc that was killed
// while it made a sandbox leaves kernel, file servers and side-cars behind that
// it has noted nowhere, so that Delete does not find them. All of them, and
// commands under way, have the root directory in their command line.
func (r *Runsc) KillOrphans(ctx context.Context) error {
	var errs []error
	// One may have started another before it was killed.
	for range 3 {
		killed, err := r.killOnce(ctx)
		errs = append(errs, err)
		if killed == 0 || ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

func (r *Runsc) killOnce(ctx context.Context) (killed int, err error) {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0, err
	}
	var ends []int
	var errs []error
	for _, f := range files {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		// The number stays this process's as long as the descriptor is open.
		end, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue // it has ended
		}
		if !r.isOurs(f) {
			unix.Close(end)
			continue
		}
		ends = append(ends, end)
		if err := unix.PidfdSendSignal(end, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("kill process %d, which a killed runsc has left: %w", pid, err))
		}
	}
	for _, end := range ends {
		if err := awaitEnd(ctx, end); err != nil {
			errs = append(errs, fmt.Errorf("wait for what a killed runsc has left: %w", err))
		}
		unix.Close(end)
	}
	return len(ends), errors.Join(errs...)
}

// isOurs says whether the process with that cmdline file in /proc works for the
// sandbox, and has not ended: then its command line is empty.
func (r *Runsc) isOurs(file string) bool {
	line, err := os.ReadFile(file)
	return err == nil && slices.ContainsFunc(bytes.Split(line, []byte{0}), func(arg []byte) bool {
		return string(arg) == "--root="+r.Root
	})
}

// look is between two looks at whether ctx is done.
const look = 50 * time.Millisecond

func awaitEnd(ctx context.Context, pidfd int) error {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, int(look.Milliseconds()))
		switch {
		case n > 0:
			return nil
		case err != nil && !errors.Is(err, unix.EINTR):
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		}
	}
}
