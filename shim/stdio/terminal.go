// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package stdio

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/containerd/console"
	"golang.org/x/sys/unix"
)

// copyBuffer is the size of a terminal's copy buffers: a screenful.
const copyBuffer = 4 << 10

// drainLimit bounds how long Close waits for output that is still to come.
const drainLimit = 2 * time.Second

// A Terminal joins a pseudo terminal with two FIFOs. Its master may be
// replaced: a sandbox that is paused loses its terminal and gets a new one
// when it resumes, while the FIFOs, and what is typed meanwhile, stay.
type Terminal struct {
	stdin  *os.File // nil if there is none
	typed  *os.File // keeps stdin from end of file
	stdout *os.File
	keeper *os.File

	mu     sync.Mutex
	master *os.File
	size   console.WinSize
	// changed is closed, and made anew, whenever master changes.
	changed chan struct{}
	closed  chan struct{}
	once    sync.Once
	out     sync.WaitGroup // copies from a master to stdout
	in      sync.WaitGroup // the copy from stdin
}

func openTerminal(stdin, stdout string) (_ *Terminal, err error) {
	t := &Terminal{changed: make(chan struct{}), closed: make(chan struct{})}
	defer func() {
		if err != nil {
			t.Close()
		}
	}()
	if stdout != "" {
		path, err := fifoPath(stdout)
		if err != nil {
			return nil, err
		}
		if t.keeper, err = openFifo(path, unix.O_RDWR); err != nil {
			return nil, fmt.Errorf("open stdout: %w", err)
		}
		if t.stdout, err = openFifo(path, unix.O_WRONLY); err != nil {
			return nil, fmt.Errorf("open stdout: %w", err)
		}
	}
	if stdin != "" {
		path, err := fifoPath(stdin)
		if err != nil {
			return nil, err
		}
		if t.stdin, err = openFifo(path, unix.O_RDONLY); err != nil {
			return nil, fmt.Errorf("open stdin: %w", err)
		}
		if t.typed, err = openFifo(path, unix.O_WRONLY); err != nil {
			return nil, fmt.Errorf("open stdin: %w", err)
		}
		t.in.Go(t.copyIn)
	}
	return t, nil
}

// Attach makes master the terminal's other side and owns it from now on. The
// window gets the last size that Resize was told.
func (t *Terminal) Attach(master *os.File) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.replace(master)
	if t.size != (console.WinSize{}) {
		if err := resize(master, t.size); err != nil {
			return err
		}
	}
	t.out.Go(func() { t.copyOut(master) })
	return nil
}

// Detach waits until all output of the present master is copied and closes it.
// The process behind it must be gone.
func (t *Terminal) Detach() {
	t.out.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.replace(nil)
}

// Resize sets the size of the window, now and for masters to come.
func (t *Terminal) Resize(width, height uint32) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.size = console.WinSize{Width: uint16(width), Height: uint16(height)}
	if t.master == nil {
		return nil
	}
	return resize(t.master, t.size)
}

func resize(master *os.File, size console.WinSize) error {
	raw, err := master.SyscallConn()
	if err != nil {
		return err
	}
	var ioctlErr error
	err = raw.Control(func(fd uintptr) {
		ioctlErr = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: size.Height, Col: size.Width})
	})
	if err == nil {
		err = ioctlErr
	}
	if err != nil {
		return fmt.Errorf("resize terminal: %w", err)
	}
	return nil
}

// copyOut ends with the error (EIO) that a master gives when the last user of
// its replica is gone. With no stdout it discards.
func (t *Terminal) copyOut(master *os.File) {
	buf := make([]byte, copyBuffer)
	for {
		n, err := master.Read(buf)
		if n > 0 && t.stdout != nil {
			if _, err := t.stdout.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// copyIn hands what is typed to the present master, and keeps it while there is none.
func (t *Terminal) copyIn() {
	buf := make([]byte, copyBuffer)
	for {
		n, err := t.stdin.Read(buf)
		if err != nil {
			return
		}
		var gone *os.File
		for rest := buf[:n]; len(rest) > 0; {
			master := t.next(gone)
			if master == nil {
				return
			}
			w, err := master.Write(rest)
			rest = rest[w:]
			if err != nil {
				gone = master
			}
		}
	}
}

// next returns the present master, or waits for one if there is none or if it
// is still the one that has gone. It returns nil when the terminal is closed.
func (t *Terminal) next(gone *os.File) *os.File {
	for {
		t.mu.Lock()
		master, changed := t.master, t.changed
		t.mu.Unlock()
		if master != nil && master != gone {
			return master
		}
		select {
		case <-changed:
		case <-t.closed:
			return nil
		}
	}
}

// replace sets the master and wakes who waits for another; t.mu is held.
func (t *Terminal) replace(master *os.File) {
	if t.master != nil {
		t.master.Close()
	}
	t.master = master
	close(t.changed)
	t.changed = make(chan struct{})
}

// closeStdin closes the shim's own writing end of stdin.
func (t *Terminal) closeStdin() error {
	if t.typed == nil {
		return nil
	}
	if err := t.typed.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// Close ends all copying and closes everything. Output that is still in the
// terminal is copied first, if the process behind it is gone.
func (t *Terminal) Close() error {
	t.once.Do(func() {
		close(t.closed)
		t.mu.Lock()
		master := t.master
		t.mu.Unlock()
		if master != nil {
			// Somebody in the background may hold on to the terminal for ever.
			stop := time.AfterFunc(drainLimit, func() { master.Close() })
			t.out.Wait()
			stop.Stop()
		}
		for _, f := range []*os.File{master, t.stdin, t.typed, t.stdout, t.keeper} {
			if f != nil {
				f.Close()
			}
		}
		t.in.Wait()
	})
	return nil
}
