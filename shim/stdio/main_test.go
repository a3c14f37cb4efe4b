// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package stdio

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// loggerMode makes the test binary a logging binary; its value says which.
const loggerMode = "loggermode"

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == loggerMode {
		unix.Exit(logger(os.Args[2], os.Args[3:])) // os.Exit under -race takes a second
	}
	goleak.VerifyTestMain(m)
}

// logger is a logging binary: at its end it writes what it was started with and
// each line of both outputs into the file that its last argument names. Mode
// "deaf" never gets ready.
func logger(mode string, args []string) int {
	if mode == "deaf" {
		io.Copy(io.Discard, os.NewFile(3, "stdout"))
		return 0
	}
	os.NewFile(5, "ready").Close()
	var logs [2]strings.Builder
	var reading sync.WaitGroup
	for i, name := range []string{"out", "err"} {
		reading.Go(func() {
			for s := bufio.NewScanner(os.NewFile(uintptr(3+i), name)); s.Scan(); {
				fmt.Fprintf(&logs[i], "%s %s\n", name, s.Text())
			}
		})
	}
	reading.Wait()
	started := fmt.Sprintln(args[:len(args)-1], os.Getenv("CONTAINER_ID"), os.Getenv("CONTAINER_NAMESPACE"), os.Getenv("SECRET"))
	if err := os.WriteFile(args[len(args)-1], []byte(started+logs[0].String()+logs[1].String()), 0o600); err != nil {
		return 1
	}
	return 0
}

// newFifo makes a FIFO and returns its path.
func newFifo(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// openEnd opens an end of a FIFO, as a client does, without waiting.
func openEnd(t *testing.T, path string, mode int) *os.File {
	t.Helper()
	f, err := openFifo(path, mode)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func mustRead(t *testing.T, r io.Reader, want string) {
	t.Helper()
	buf := make([]byte, len(want))
	if n, err := io.ReadFull(r, buf); err != nil || string(buf) != want {
		t.Fatalf("read %q, %v, want %q", buf[:n], err, want)
	}
}

func mustWrite(t *testing.T, w io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
}

// descriptors lists what this process has open, without what the runtime needs.
func descriptors(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var open []string
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil || strings.HasPrefix(target, "anon_inode:") || strings.HasPrefix(target, "/proc/") {
			continue
		}
		open = append(open, e.Name()+" "+target)
	}
	return open
}

// isBlocking says whether a descriptor is in blocking mode, without changing it.
func isBlocking(t *testing.T, f *os.File) bool {
	t.Helper()
	raw, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var flags int
	if err := raw.Control(func(fd uintptr) { flags, err = unix.FcntlInt(fd, unix.F_GETFL, 0) }); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return flags&unix.O_NONBLOCK == 0
}
