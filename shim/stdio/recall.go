// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package stdio

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Recall takes back what was handed to the present master and not read, and notes the
// terminal's settings, both for the next master. The process behind it must be frozen,
// and go; the input must be held. Where the terminal echoes what is typed, it will do so
// a second time.
func (t *Terminal) Recall() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.master == nil {
		return nil
	}
	err := control(t.master, func(fd int) error {
		replica, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC)
		if errno != 0 {
			return os.NewSyscallError("open its other side", errno)
		}
		defer unix.Close(int(replica))
		return t.recallFrom(int(replica))
	})
	if err != nil {
		return fmt.Errorf("recall the input of a terminal: %w", err)
	}
	return nil
}

// recallFrom is Recall from the process's side; t.mu is held.
func (t *Terminal) recallFrom(replica int) error {
	settings, err := unix.IoctlGetTermios(replica, unix.TCGETS)
	if err != nil {
		return os.NewSyscallError("get its settings", err)
	}
	t.settings = settings
	// In lines, nothing is read of the one that was begun.
	raw := *settings
	raw.Lflag &^= unix.ICANON
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(replica, unix.TCSETS, &raw); err != nil {
		return os.NewSyscallError("change its settings", err)
	}
	buf := make([]byte, copyBuffer)
	for {
		n, err := unix.Read(replica, buf)
		if n > 0 {
			t.recalled = append(t.recalled, buf[:n]...)
			continue
		}
		switch {
		case errors.Is(err, unix.EINTR):
		case err == nil, errors.Is(err, unix.EAGAIN):
			return nil
		default:
			return os.NewSyscallError("read", err)
		}
	}
}
