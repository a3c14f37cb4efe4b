// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package roster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// endLimit bounds the wait for a shim that was killed, and for whoever lists or
// sweeps the place meanwhile.
const endLimit = time.Second

// look is between two looks at a place that somebody has.
const look = 10 * time.Millisecond

// End takes the place of a shim that containerd has given up, for whoever cleans up after
// it. A shim that lives, and was only too slow to answer, is killed first, since
// it must not act on what is no longer there. It is the one that the entry names
// and that has the lock: a number that was given to another process since then proves
// nothing. Where the place is taken and its shim cannot be told, the error says so
// and nobody was touched. Without a directory there is no place, and none is returned.
func End(ctx context.Context, dir string) (*Place, error) {
	ctx, cancel := context.WithTimeout(ctx, endLimit)
	defer cancel()
	killed := false
	for {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		p, err := TakeDead(dir)
		if err != nil || p != nil {
			return p, err
		}
		now, err := killHolder(dir)
		if err != nil {
			return nil, err
		}
		killed = killed || now
		select {
		case <-time.After(look):
		case <-ctx.Done():
			if killed {
				// It does not run again, whatever the kernel still does for it.
				return nil, nil
			}
			return nil, fmt.Errorf("end the shim of %s: its place is locked, and not by the process that its entry names, so that nothing was touched: end the process that holds it (lsof %s tells which)", dir, dir)
		}
	}
}

// killHolder kills the shim whose place dir is, and reports whether it could be told
// from all other processes.
func killHolder(dir string) (bool, error) {
	e, err := readEntry(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	// From here on the number is this process's, or that of none.
	shim, err := unix.PidfdOpen(e.PID, 0)
	if err != nil {
		return false, nil // it has ended
	}
	defer unix.Close(shim)
	if !holds(e.PID, dir) {
		return false, nil
	}
	if err := unix.PidfdSendSignal(shim, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return false, fmt.Errorf("end the shim of %s, process %d: %w", dir, e.PID, err)
	}
	return true, nil
}

// holds reports whether the process has the lock of a shim on dir: the kernel
// tells of each open file what is locked through it.
func holds(pid int, dir string) bool {
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	want, err := os.Stat(dir)
	if err != nil {
		return false
	}
	files, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		return false // it has ended
	}
	for _, f := range files {
		if fi, err := os.Stat(filepath.Join(proc, "fd", f.Name())); err != nil || !os.SameFile(fi, want) {
			continue
		}
		info, err := os.ReadFile(filepath.Join(proc, "fdinfo", f.Name()))
		if err == nil && isLocked(info) {
			return true
		}
	}
	return false
}

// isLocked reports whether an fdinfo file of proc(5) tells of an exclusive flock(2).
func isLocked(info []byte) bool {
	for line := range bytes.Lines(info) {
		f := bytes.Fields(line)
		if len(f) > 4 && string(f[0]) == "lock:" && string(f[2]) == "FLOCK" && string(f[4]) == "WRITE" {
			return true
		}
	}
	return false
}
