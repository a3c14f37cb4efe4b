// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package stdio

import (
	"context"
	"errors"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestNoStreams(t *testing.T) {
	s, err := Open(t.Context(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	if s.Stdin != nil || s.Stdout != nil || s.Stderr != nil || s.Terminal != nil {
		t.Errorf("Open of nothing = %+v", s)
	}
	if err := errors.Join(s.CloseStdin(), s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
}

func TestFifosCarryBytesToAndFromAProcess(t *testing.T) {
	c := Config{Stdin: newFifo(t), Stdout: newFifo(t), Stderr: "fifo://" + newFifo(t)}
	out := openEnd(t, c.Stdout, unix.O_RDONLY)
	errOut := openEnd(t, strings.TrimPrefix(c.Stderr, "fifo://"), unix.O_RDONLY)
	s, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, f := range []*os.File{s.Stdin, s.Stdout, s.Stderr} {
		if !isBlocking(t, f) {
			t.Errorf("the process's end of %s does not block", f.Name())
		}
	}
	cmd := exec.Command("/bin/sh", "-c", "cat; echo end >&2")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.Stdin, s.Stdout, s.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// Two clients, one after the other: the first one's leaving is no end of file.
	for _, text := range []string{"first", "second"} {
		in := openEnd(t, c.Stdin, unix.O_WRONLY)
		mustWrite(t, in, text)
		in.Close()
		mustRead(t, out, text)
	}
	if err := s.CloseStdin(); err != nil {
		t.Fatal(err)
	}
	mustRead(t, errOut, "end\n")
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, r := range []io.Reader{out, errOut} {
		if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
			t.Errorf("after the end read %q, %v, want end of file", rest, err)
		}
	}
}

// A reader may leave, and another come, while the process writes.
func TestOutputSurvivesItsReader(t *testing.T) {
	path := newFifo(t)
	first := openEnd(t, path, unix.O_RDONLY)
	s, err := Open(t.Context(), Config{Stdout: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	first.Close()
	mustWrite(t, s.Stdout, "while nobody reads") // SIGPIPE or EPIPE without the keeper
	mustRead(t, openEnd(t, path, unix.O_RDONLY), "while nobody reads")
}

func TestFileIsAppendedTo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "not", "there", "log")
	for _, text := range []string{"one\n", "two\n"} {
		s, err := Open(t.Context(), Config{Stdout: "file://" + path, Stderr: "file://" + path})
		if err != nil {
			t.Fatal(err)
		}
		// A restored process writes at the offset that it had.
		if _, err := s.Stdout.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		mustWrite(t, s.Stdout, text)
		mustWrite(t, s.Stderr, "and "+text)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("one\nand one\ntwo\nand two\n", string(b)); diff != "" {
		t.Errorf("file (-want +got):\n%s", diff)
	}
}

func TestBadStreamsNameThemselvesAndLeaveNothingOpen(t *testing.T) {
	good := newFifo(t)
	tests := []struct {
		name  string
		c     Config
		want  string
		class error
	}{
		{"unknown scheme", Config{Stdout: "ftp://host/x"}, "ftp", errdefs.ErrInvalidArgument},
		{"unknown scheme of stderr", Config{Stdin: good, Stdout: good, Stderr: "ftp://host/x"}, "stderr", errdefs.ErrInvalidArgument},
		{"stdin from a file", Config{Stdin: "file:///x"}, "stdin", errdefs.ErrInvalidArgument},
		{"not a URI", Config{Stdout: "fifo://%zz"}, "stdout", errdefs.ErrInvalidArgument},
		{"missing stdin", Config{Stdin: "/nonexistent/fifo"}, "/nonexistent/fifo", os.ErrNotExist},
		{"missing stdout", Config{Stdin: good, Stdout: "/nonexistent/fifo"}, "stdout", os.ErrNotExist},
		{"missing stderr", Config{Stdin: good, Stdout: good, Stderr: "/nonexistent/fifo"}, "stderr", os.ErrNotExist},
		{"missing logger", Config{Stdout: "binary:///nonexistent/logger"}, "/nonexistent/logger", os.ErrNotExist},
		{"terminal without stdout", Config{Terminal: true, Stdin: good, Stdout: "/nonexistent/fifo"}, "stdout", os.ErrNotExist},
		{"terminal without stdin", Config{Terminal: true, Stdin: "/nonexistent/fifo", Stdout: good}, "stdin", os.ErrNotExist},
		{"terminal with stdin from a file", Config{Terminal: true, Stdin: "file:///x", Stdout: good}, "stdin", errdefs.ErrInvalidArgument},
		{"terminal with a missing logger", Config{Terminal: true, Stdout: "binary:///nonexistent/logger"}, "/nonexistent/logger", os.ErrNotExist},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := descriptors(t)
			_, err := Open(t.Context(), tt.c)
			if !errors.Is(err, tt.class) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Open = %v, want %v and %q", err, tt.class, tt.want)
			}
			if diff := cmp.Diff(before, descriptors(t)); diff != "" {
				t.Errorf("descriptors (-before +after):\n%s", diff)
			}
		})
	}
}

func TestNothingStaysOpenAfterClose(t *testing.T) {
	fifo := newFifo(t)
	file := "file://" + filepath.Join(t.TempDir(), "log")
	for _, c := range []Config{
		{Stdin: fifo, Stdout: fifo, Stderr: fifo},
		{Stdout: file, Stderr: file},
		{Stdout: "binary://" + loggerPath(t, "log", filepath.Join(t.TempDir(), "log"))},
		{Stdin: fifo, Stdout: fifo, Terminal: true},
		{Stdout: file, Terminal: true},
	} {
		before := descriptors(t)
		s, err := Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if len(descriptors(t)) == len(before) {
			t.Errorf("%+v: nothing was opened", c)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
		if diff := cmp.Diff(before, descriptors(t)); diff != "" {
			t.Errorf("%+v: descriptors (-before +after):\n%s", c, diff)
		}
	}
}

// loggerPath returns the path and query of a logging binary: a script that
// runs this test binary in the given mode, with the query's words and file as
// arguments.
func loggerPath(t *testing.T, mode, file string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(t.TempDir(), "logger")
	text := "#!/bin/sh\nexec '" + self + "' " + loggerMode + " " + mode + " \"$@\" '" + file + "'\n"
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return script
}

func TestLoggingBinary(t *testing.T) {
	t.Setenv("SECRET", "of the shim alone")
	log := newFifo(t) // reading it waits for the logger's end
	s, err := Open(t.Context(), Config{
		Stdout: "binary://" + loggerPath(t, "log", log) + "?b=2&a=1", ID: "c1", Namespace: "ns1",
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	cmd := exec.Command("/bin/sh", "-c", "echo hello; echo world >&2")
	cmd.Stdout, cmd.Stderr = s.Stdout, s.Stderr
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	for _, f := range []*os.File{s.Stdout, s.Stderr} {
		if !isBlocking(t, f) {
			t.Error("the process's end of a logger's pipe does not block")
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("[a 1 b 2] c1 ns1 \nout hello\nerr world\n", string(got)); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

func TestLoggingBinaryThatIsNeverReady(t *testing.T) {
	before := descriptors(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := Open(ctx, Config{Stdout: "binary://" + loggerPath(t, "deaf", "")})
	if err == nil || !strings.Contains(err.Error(), "wait until it is ready") {
		t.Errorf("Open = %v, want the wait named", err)
	}
	if diff := cmp.Diff(before, descriptors(t)); diff != "" {
		t.Errorf("descriptors (-before +after):\n%s", diff)
	}
}

func TestLoggerArgs(t *testing.T) {
	q, err := url.ParseQuery("z=1&a=&m=x&m=y")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "", "m", "x", "z", "1"}, loggerArgs(q)); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
}
