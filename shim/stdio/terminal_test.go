// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package stdio

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// newPty makes a pseudo terminal in raw mode; the replica is the process's side.
func newPty(t *testing.T) (master, replica *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	replicaFd, err := unix.Open(fmt.Sprintf("/dev/pts/%d", n), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	mode, err := unix.IoctlGetTermios(replicaFd, unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	mode.Lflag &^= unix.ECHO | unix.ICANON | unix.ISIG
	mode.Iflag &^= unix.ICRNL | unix.IXON
	mode.Oflag &^= unix.OPOST
	if err := unix.IoctlSetTermios(replicaFd, unix.TCSETS, mode); err != nil {
		t.Fatal(err)
	}
	master = os.NewFile(uintptr(fd), "master")
	replica = os.NewFile(uintptr(replicaFd), "replica")
	t.Cleanup(func() { master.Close(); replica.Close() })
	return master, replica
}

// openTerminalFifos opens a terminal over FIFOs and the client's ends of them.
func openTerminalFifos(t *testing.T) (term *Terminal, streams *Streams, in, out *os.File) {
	t.Helper()
	c := Config{Stdin: newFifo(t), Stdout: newFifo(t), Terminal: true}
	s, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s.Terminal, s, openEnd(t, c.Stdin, unix.O_WRONLY), openEnd(t, c.Stdout, unix.O_RDONLY)
}

func attach(t *testing.T, term *Terminal) (replica *os.File) {
	t.Helper()
	master, replica := newPty(t)
	if err := term.Attach(master); err != nil {
		t.Fatal(err)
	}
	return replica
}

func TestTerminalCarriesBothDirections(t *testing.T) {
	term, _, in, out := openTerminalFifos(t)
	replica := attach(t, term)
	mustWrite(t, in, "typed")
	mustRead(t, replica, "typed")
	mustWrite(t, replica, "shown")
	mustRead(t, out, "shown")
}

// A pause takes the terminal away and a resume brings another one.
func TestReplacedTerminalLosesNothing(t *testing.T) {
	term, streams, in, out := openTerminalFifos(t)
	mustWrite(t, in, "before the first") // nobody is there yet
	first := attach(t, term)
	mustRead(t, first, "before the first")

	term.HoldInput()
	mustWrite(t, in, "while it is saved")
	mustWrite(t, first, "last words")
	first.Close() // the sandbox is gone
	term.Detach()
	mustWrite(t, in, ", while it sleeps")

	second := attach(t, term)
	mustWrite(t, second, ", first words")
	mustRead(t, out, "last words, first words")
	if err := term.ReleaseInput(); err != nil {
		t.Fatal(err)
	}
	mustRead(t, second, "while it is saved, while it sleeps")

	term.HoldInput() // a pause that fails
	mustWrite(t, in, "held")
	if err := term.ReleaseInput(); err != nil {
		t.Fatal(err)
	}
	mustRead(t, second, "held")

	second.Close()
	if err := streams.Close(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(out); err != nil || len(rest) > 0 {
		t.Errorf("after the end read %q, %v, want end of file", rest, err)
	}
}

// Output waits in the terminal until somebody reads it, through a replacement.
func TestOutputThatNobodyReadsYetIsKept(t *testing.T) {
	term, _, _, out := openTerminalFifos(t)
	// Shrink the FIFO, so that output piles up before and behind it.
	raw, err := out.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { _, err = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, 4096) }); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	first := attach(t, term)
	var want bytes.Buffer
	fill := func(replica *os.File, text byte) {
		line := bytes.Repeat([]byte{text}, 100)
		for replica.SetWriteDeadline(time.Now().Add(200*time.Millisecond)) == nil {
			n, err := replica.Write(line)
			want.Write(line[:n])
			if err != nil {
				return // full
			}
		}
	}
	fill(first, 'a')
	first.Close()
	detached := make(chan struct{})
	go func() { term.Detach(); close(detached) }()
	select {
	case <-detached:
	case <-time.After(10 * time.Second):
		t.Fatal("Detach waits for a reader")
	}
	second := attach(t, term)
	fill(second, 'b')
	got := make([]byte, want.Len())
	if n, err := io.ReadFull(out, got); err != nil {
		t.Fatalf("read %d of %d bytes: %v", n, len(got), err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%d bytes came in another order than they were written", len(got))
	}
}

func TestInputThatTheProcessDoesNotReadYetDoesNotBlockDetach(t *testing.T) {
	term, _, in, _ := openTerminalFifos(t)
	first := attach(t, term)
	// More than the terminal takes: copyIn is stuck in a write.
	text := strings.Repeat("x", 3*copyBuffer)
	for rest := []byte(text); len(rest) > 0; {
		n, err := in.Write(rest)
		if err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if _, err := io.ReadFull(first, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	first.Close()
	term.Detach()
	second := attach(t, term)
	mustWrite(t, in, "END")
	// What the first process did not read is lost with it; the rest arrives.
	got := make([]byte, 0, len(text))
	for !bytes.HasSuffix(got, []byte("END")) {
		buf := make([]byte, 512)
		if err := second.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := second.Read(buf)
		if err != nil {
			t.Fatalf("after %d bytes: %v", len(got), err)
		}
		got = append(got, buf[:n]...)
	}
}

func TestTerminalRemembersItsSize(t *testing.T) {
	term, _, _, _ := openTerminalFifos(t)
	size := func(replica *os.File) [2]uint16 {
		t.Helper()
		raw, err := replica.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var ws *unix.Winsize
		if err := raw.Control(func(fd uintptr) { ws, err = unix.IoctlGetWinsize(int(fd), unix.TIOCGWINSZ) }); err != nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		return [2]uint16{ws.Col, ws.Row}
	}
	if err := term.Resize(80, 25); err != nil { // before there is a window
		t.Fatal(err)
	}
	first := attach(t, term)
	got := [][2]uint16{size(first)}
	if err := term.Resize(132, 50); err != nil {
		t.Fatal(err)
	}
	got = append(got, size(first))
	first.Close()
	term.Detach()
	got = append(got, size(attach(t, term)))
	if diff := cmp.Diff([][2]uint16{{80, 25}, {132, 50}, {132, 50}}, got); diff != "" {
		t.Errorf("sizes (-want +got):\n%s", diff)
	}
}

func TestTerminalIntoAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	s, err := Open(t.Context(), Config{Stdout: "file://" + path, Terminal: true})
	if err != nil {
		t.Fatal(err)
	}
	replica := attach(t, s.Terminal)
	mustWrite(t, replica, "shown")
	replica.Close()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "shown" {
		t.Errorf("the file has %q, %v", b, err)
	}
}

func TestTerminalIntoALoggingBinary(t *testing.T) {
	log := newFifo(t)
	s, err := Open(t.Context(), Config{Stdout: "binary://" + loggerPath(t, "log", log), Terminal: true, ID: "c", Namespace: "n"})
	if err != nil {
		t.Fatal(err)
	}
	replica := attach(t, s.Terminal)
	mustWrite(t, replica, "shown\n")
	replica.Close()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(log); err != nil || string(b) != "[] c n \nout shown\n" {
		t.Errorf("the log has %q, %v", b, err)
	}
}

func TestTerminalWithoutStreamsDropsOutput(t *testing.T) {
	s, err := Open(t.Context(), Config{Terminal: true})
	if err != nil {
		t.Fatal(err)
	}
	replica := attach(t, s.Terminal)
	// More than a terminal holds: a process must not stop because nobody looks.
	if err := replica.SetWriteDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, replica, strings.Repeat("x", 256<<10))
	replica.Close()
	if err := errors.Join(s.CloseStdin(), s.Close()); err != nil {
		t.Fatal(err)
	}
}

// Neither a process that holds on to the terminal nor a reader that does not
// read keeps Close for ever.
func TestCloseIsBounded(t *testing.T) {
	for name, full := range map[string]bool{"process holds on": false, "nobody reads": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			term, streams, _, _ := openTerminalFifos(t)
			replica := attach(t, term)
			for full && replica.SetWriteDeadline(time.Now().Add(100*time.Millisecond)) == nil {
				if _, err := replica.Write(make([]byte, 4096)); err != nil {
					break
				}
			}
			closed := make(chan error, 1)
			go func() { closed <- streams.Close() }()
			select {
			case err := <-closed:
				if err != nil {
					t.Errorf("Close = %v", err)
				}
			case <-time.After(5 * drainLimit):
				t.Fatal("Close does not return")
			}
		})
	}
}

func TestAttachAfterCloseClosesTheMaster(t *testing.T) {
	term, streams, _, _ := openTerminalFifos(t)
	if err := streams.Close(); err != nil {
		t.Fatal(err)
	}
	master, _ := newPty(t)
	if err := term.Attach(master); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Attach = %v, want os.ErrClosed", err)
	}
	if _, err := master.Write([]byte("x")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the master is still open: %v", err)
	}
}

func TestAttachRefusesABlockingMaster(t *testing.T) {
	term, _, _, _ := openTerminalFifos(t)
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := term.Attach(os.NewFile(uintptr(fd), "master")); !errors.Is(err, os.ErrNoDeadline) {
		t.Errorf("Attach = %v, want os.ErrNoDeadline: nothing could end its copying", err)
	}
}
