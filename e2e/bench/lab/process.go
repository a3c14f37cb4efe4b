// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// A Process is watched by its descriptor, which no other process can inherit
// as it could the number.
type Process struct {
	PID int
	fd  *os.File
}

// Watch opens a process.
func Watch(pid int) (*Process, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("watch process %d: %w", pid, err)
	}
	return &Process{PID: pid, fd: os.NewFile(uintptr(fd), "pidfd")}, nil
}

// Wait returns when the process has ended, and with it its memory. It closes
// the watch.
func (p *Process) Wait(ctx context.Context) error {
	defer p.fd.Close()
	for {
		fds := []unix.PollFd{{Fd: int32(p.fd.Fd()), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 100)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for process %d: %w", p.PID, err)
		}
		if n > 0 {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("wait for the end of process %d: %w", p.PID, ctx.Err())
		}
	}
}

// Close gives the watch up.
func (p *Process) Close() error { return p.fd.Close() }

// DiskUsage returns the bytes that the files below dir occupy on their disk.
func DiskUsage(dir string) (int64, error) {
	var sum int64
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		sum += st.Blocks * 512
		return nil
	})
	return sum, err
}

// Settle writes back what is dirty on the file system of dir, so that one
// peer's leftovers are not written at the next one's expense.
func Settle(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("sync file system of %s: %w", dir, err)
	}
	return nil
}

// Deadline bounds one step of the bench: nothing that is measured takes
// minutes unless it hangs.
func Deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, 3*time.Minute)
}
