// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package task

import (
	"bytes"
	"context"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"

	"github.com/ateom/ateom/e2e/harness"
)

// An execution is a process that a test runs in a task.
type execution struct {
	client.Process
	stdout, stderr bytes.Buffer
	exited         <-chan client.ExitStatus
}

// newExec makes a process of a running task and waits for its end, but does
// not start it.
func newExec(t *testing.T, task *harness.Task, terminal bool, stdin io.Reader, script string) *execution {
	t.Helper()
	ctx := task.Node.Context(t)
	spec, err := task.Container.Spec(ctx)
	if err != nil {
		t.Fatal(err)
	}
	process := *spec.Process
	process.Args = []string{"sh", "-c", script}
	process.Terminal = terminal
	e := &execution{}
	opts := []cio.Opt{cio.WithStreams(stdin, &e.stdout, &e.stderr)}
	if terminal {
		opts = append(opts, cio.WithTerminal)
	}
	if e.Process, err = task.Exec(ctx, harness.NewID(t), &process, cio.NewCreator(opts...)); err != nil {
		t.Fatal(err)
	}
	if e.exited, err = e.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	return e
}

// finish waits for the process's end, deletes it, and returns the exit code;
// after that all output is there.
func (e *execution) finish(t *testing.T, ctx context.Context) uint32 {
	t.Helper()
	code := harness.AwaitExit(t, e.exited)
	if status, err := e.Delete(ctx); err != nil {
		t.Error(err)
	} else if status.ExitCode() != code {
		t.Errorf("Delete tells exit code %d, Wait told %d", status.ExitCode(), code)
	}
	return code
}

func TestExecHasStreamsAndExitCodes(t *testing.T) {
	t.Parallel()
	task := harness.Shared(t).Run(t, harness.Container{Args: []string{"sleep", "1000"}})
	for _, c := range []struct {
		name, script, stdin string
		terminal            bool
		stdout, stderr      string
		code                uint32
	}{
		{"output", "echo out; echo err >&2", "", false, "out\n", "err\n", 0},
		{"exit code", "exit 3", "", false, "", "", 3},
		{"no terminal", "test -t 0 || echo none", "", false, "none\n", "", 0},
		{"stdin", "head -n 1", "line\n", false, "line\n", "", 0},
		{"terminal", "until stty size | grep -q '24 80'; do sleep 0.01; done 2>/dev/null; test -t 0 && test -t 1 && echo tty; exit 9", "", true, "tty\r\n", "", 9},
		{"missing program", "exec /no/such/program", "", false, "", "sh: exec: line 0: /no/such/program: not found\n", 127},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx := task.Node.Context(t)
			e := newExec(t, task, c.terminal, strings.NewReader(c.stdin), c.script)
			if err := e.Start(ctx); err != nil {
				t.Fatal(err)
			}
			if c.terminal {
				if err := e.Resize(ctx, 80, 24); err != nil {
					t.Fatal(err)
				}
			}
			code := e.finish(t, ctx)
			if e.stdout.String() != c.stdout || e.stderr.String() != c.stderr || code != c.code {
				t.Errorf("output %q, errors %q, exit code %d, want %q, %q, %d", &e.stdout, &e.stderr, code, c.stdout, c.stderr, c.code)
			}
		})
	}
}

func TestExecEndsWhenItsStdinIsClosed(t *testing.T) {
	t.Parallel()
	task := harness.Shared(t).Run(t, harness.Container{Args: []string{"sleep", "1000"}})
	ctx := task.Node.Context(t)
	stdin, writer := io.Pipe()
	e := newExec(t, task, false, stdin, "cat; echo end")
	if err := e.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := writer.Write([]byte("input\n")); err != nil {
		t.Fatal(err)
	}
	writer.Close()
	if err := e.CloseIO(ctx, client.WithStdinCloser); err != nil {
		t.Fatal(err)
	}
	if code := e.finish(t, ctx); code != 0 || e.stdout.String() != "input\nend\n" {
		t.Errorf("output %q, exit code %d", &e.stdout, code)
	}
}

func TestExecGetsSignalsAndTheTaskDoesNot(t *testing.T) {
	t.Parallel()
	task := harness.Shared(t).Run(t, harness.Container{Args: []string{"sleep", "1000"}})
	ctx := task.Node.Context(t)
	for signal, want := range map[syscall.Signal]uint32{syscall.SIGTERM: 143, syscall.SIGKILL: 137, syscall.SIGUSR1: 77} {
		e := newExec(t, task, false, nil, "trap 'exit 77' USR1; touch /tmp/ready; while :; do sleep 0.01; done")
		if err := e.Start(ctx); err != nil {
			t.Fatal(err)
		}
		harness.Eventually(t, func() error { return run(t, task, "rm /tmp/ready") })
		if err := e.Kill(ctx, signal); err != nil {
			t.Fatal(err)
		}
		if code := e.finish(t, ctx); code != want {
			t.Errorf("exit code %d after signal %d, want %d", code, signal, want)
		}
	}
	task.WantState(t, client.Running)
}

// run executes a script in a task; the error says that it failed.
func run(t *testing.T, task *harness.Task, script string) error {
	t.Helper()
	ctx := task.Node.Context(t)
	e := newExec(t, task, false, nil, script)
	if err := e.Start(ctx); err != nil {
		return err
	}
	if code := e.finish(t, ctx); code != 0 {
		return &exitError{script, code, e.stderr.String()}
	}
	return nil
}
