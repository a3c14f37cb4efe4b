// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package stdio

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// copyBuffer is the size of a terminal's copy buffers: a screenful.
const copyBuffer = 4 << 10

// drainLimit bounds how long Close waits for output that is still to come.
const drainLimit = 2 * time.Second

// past is a deadline that wakes up whoever waits.
var past = time.Unix(1, 0)

// A Terminal joins a pseudo terminal with the streams of a Config. Its master
// may be replaced: a sandbox that is paused loses its terminal and gets a new
// one when it resumes, while the streams, and what is typed meanwhile, stay.
//
// What was handed to a master and not yet read by the process behind it goes
// with the master, unless Recall takes it back.
type Terminal struct {
	stdin  *os.File // nil if there is none
	typed  *os.File // keeps stdin from end of file
	stdout io.Writer

	mu     sync.Mutex
	master *os.File // gets the input; nil while there is none
	held   bool     // the input waits although there is a master
	size   unix.Winsize
	// settings are the last master's that Recall was called for, and recalled what
	// nobody had read of it.
	settings *unix.Termios
	recalled []byte
	// changed is closed, and made anew, whenever master or held changes.
	changed chan struct{}
	// drained is closed when all output of the newest master is copied.
	drained chan struct{}
	// copied are the masters whose output is still being copied.
	copied map[*os.File]struct{}

	closed chan struct{}
	once   sync.Once
	out    sync.WaitGroup // copies from a master to stdout
	in     sync.WaitGroup // the copy from stdin
}

// newTerminal returns a terminal without a master. stdout, which may be nil,
// stays the caller's; stdin, a FIFO's path or empty, is the terminal's own.
func newTerminal(stdin string, stdout *os.File) (*Terminal, error) {
	t := &Terminal{
		stdout:  io.Discard,
		changed: make(chan struct{}),
		copied:  map[*os.File]struct{}{},
		closed:  make(chan struct{}),
	}
	if stdout != nil {
		t.stdout = stdout
	}
	if stdin == "" {
		return t, nil
	}
	path, err := fifoPath(stdin)
	if err != nil {
		return nil, err
	}
	if t.stdin, err = openFifo(path, unix.O_RDONLY); err != nil {
		return nil, err
	}
	if t.typed, err = openFifo(path, unix.O_WRONLY); err != nil {
		t.stdin.Close()
		return nil, err
	}
	t.in.Go(t.copyIn)
	return t, nil
}

// Attach makes master the terminal's other side and owns it from now on. It
// must be in non-blocking mode. The process behind an earlier master must be
// gone; what it has still written comes first. The window gets the last size
// that Resize was told, and the terminal the settings that Recall has found. Input
// that is held stays so.
func (t *Terminal) Attach(master *os.File) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-t.closed:
		master.Close()
		return fmt.Errorf("attach terminal: %w", os.ErrClosed)
	default:
	}
	if err := master.SetDeadline(time.Time{}); err != nil {
		master.Close()
		return fmt.Errorf("attach terminal: %w", err)
	}
	if t.settings != nil {
		if err := control(master, func(fd int) error { return unix.IoctlSetTermios(fd, unix.TCSETS, t.settings) }); err != nil {
			master.Close()
			return fmt.Errorf("attach terminal: set it as the last one was: %w", err)
		}
	}
	previous, drained := t.drained, make(chan struct{})
	t.drained = drained
	t.copied[master] = struct{}{}
	t.out.Go(func() {
		defer close(drained)
		defer t.forget(master)
		if previous != nil {
			<-previous
		}
		t.copyOut(master)
	})
	t.direct(master, t.held)
	if t.size == (unix.Winsize{}) {
		return nil
	}
	return resize(master, t.size)
}

// Detach takes the present master away: from now on input waits for another
// one. The process behind it must be gone. What it has still written is copied
// in the background, however long the reader takes.
func (t *Terminal) Detach() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.direct(nil, t.held)
}

// HoldInput lets the input wait, because the process behind the master will
// not read it any more, until ReleaseInput.
func (t *Terminal) HoldInput() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.direct(t.master, true)
}

// ReleaseInput undoes HoldInput. What Recall has taken comes first.
func (t *Terminal) ReleaseInput() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var err error
	if t.master != nil && len(t.recalled) > 0 {
		err = t.master.SetWriteDeadline(time.Now().Add(recallLimit))
		if err == nil {
			_, err = t.master.Write(t.recalled)
		}
		t.recalled = nil // what does not fit any more cannot come later
	}
	t.direct(t.master, false)
	if err != nil {
		return fmt.Errorf("give a terminal back what was typed: %w", err)
	}
	return nil
}

// recallLimit bounds the writing of what a terminal has held before.
const recallLimit = 2 * time.Second

// Resize sets the size of the window, now and for masters to come.
func (t *Terminal) Resize(width, height uint32) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.size = unix.Winsize{Col: uint16(width), Row: uint16(height)}
	if t.master == nil {
		return nil
	}
	return resize(t.master, t.size)
}

func resize(master *os.File, size unix.Winsize) error {
	if err := control(master, func(fd int) error { return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &size) }); err != nil {
		return fmt.Errorf("resize terminal: %w", err)
	}
	return nil
}

// control calls do with the descriptor of a master.
func control(master *os.File, do func(fd int) error) error {
	raw, err := master.SyscallConn()
	if err != nil {
		return err
	}
	var doErr error
	err = raw.Control(func(fd uintptr) { doErr = do(int(fd)) })
	return errors.Join(err, doErr)
}

// copyOut ends with the error (EIO) that a master gives when the last user of
// its replica is gone. A process must not stop because nobody can be told what
// it writes: after a failure the rest is read and dropped.
func (t *Terminal) copyOut(master *os.File) {
	if _, err := io.CopyBuffer(writerOnly{t.stdout}, readerOnly{master}, make([]byte, copyBuffer)); err != nil {
		_, _ = io.CopyBuffer(writerOnly{io.Discard}, readerOnly{master}, make([]byte, copyBuffer))
	}
}

// readerOnly and writerOnly keep io.CopyBuffer to its buffer.
type (
	readerOnly struct{ io.Reader }
	writerOnly struct{ io.Writer }
)

// forget closes a master whose output is copied.
func (t *Terminal) forget(master *os.File) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.copied, master)
	master.Close()
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
			// A passed deadline means that direct wants this to look again.
			if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				gone = master
			}
		}
	}
}

// next returns the master that takes input, or waits for one if there is none
// or if it is still the one that has gone. It returns nil when the terminal is
// closed.
func (t *Terminal) next(gone *os.File) *os.File {
	for {
		t.mu.Lock()
		master, held, changed := t.master, t.held, t.changed
		t.mu.Unlock()
		if master != nil && master != gone && !held {
			return master
		}
		select {
		case <-changed:
		case <-t.closed:
			return nil
		}
	}
}

// direct decides where input goes and wakes copyIn up, which may wait for that
// or be in the middle of a write that nobody takes; t.mu is held.
func (t *Terminal) direct(master *os.File, held bool) {
	if t.master != nil {
		_ = t.master.SetWriteDeadline(past) // fails only if it is closed
	}
	t.master, t.held = master, held
	if master != nil && !held {
		_ = master.SetWriteDeadline(time.Time{})
	}
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

// Close ends all copying and closes the masters. Output that is still in a
// terminal is copied first, for a bounded time: somebody in the background may
// hold on to the terminal for ever, and nobody may read what is copied.
func (t *Terminal) Close() error {
	t.once.Do(func() {
		t.mu.Lock()
		close(t.closed) // no Attach from here on
		t.mu.Unlock()
		stop := time.AfterFunc(drainLimit, t.abandonOutput)
		t.out.Wait()
		stop.Stop()
		if t.stdin != nil {
			t.stdin.Close()
			t.typed.Close()
		}
		t.in.Wait()
	})
	return nil
}

// abandonOutput ends all copying of output.
func (t *Terminal) abandonOutput() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f, ok := t.stdout.(*os.File); ok {
		_ = f.SetWriteDeadline(past) // a plain file has none, and needs none
	}
	for master := range t.copied {
		master.Close()
	}
}
