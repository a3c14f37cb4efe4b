// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package pause

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/e2e/harness"
)

// runPaused starts a container, waits for its first word and pauses it.
func runPaused(t *testing.T, n *harness.Node, script string) *harness.Task {
	t.Helper()
	task := n.Run(t, harness.Container{Args: []string{"sh", "-c", script}})
	task.AwaitLog(t, "ready")
	if err := task.Pause(n.Context(t)); err != nil {
		t.Fatal(err)
	}
	return task
}

func TestKillEndsAPausedTask(t *testing.T) {
	t.Parallel()
	n := harness.NewNode(t, harness.Config{})
	task := runPaused(t, n, "echo ready; sleep 1000")
	if code := task.KillAndWait(t, syscall.SIGKILL); code != 137 {
		t.Errorf("exit code %d, want 137", code)
	}
	task.WantState(t, client.Stopped)
	if _, err := task.Delete(n.Context(t)); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(n.Config.StateDir, "snapshots", "*")); err != nil || len(left) > 0 {
		t.Errorf("snapshots of the deleted task: %q, %v", left, err)
	}
}

func TestASignalWaitsForTheResume(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	task := runPaused(t, n, "trap 'echo caught; exit 6' TERM; echo ready; while :; do sleep 0.01; done")
	ctx := n.Context(t)
	exited, err := task.Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := task.Kill(ctx, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	task.WantState(t, client.Paused)
	if err := task.Resume(ctx); err != nil {
		t.Fatal(err)
	}
	if code := harness.AwaitExit(t, exited); code != 6 || !strings.HasSuffix(task.Log(t), "caught\n") {
		t.Errorf("exit code %d, log %q", code, task.Log(t))
	}
}

func TestPausingAPausedTaskChangesNothing(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	task := runPaused(t, n, "echo ready; sleep 1000")
	if err := task.Pause(n.Context(t)); err != nil {
		t.Errorf("pause it once more: %v", err)
	}
	task.WantState(t, client.Paused)
}

func TestAPausedTaskTakesNoExec(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	task := runPaused(t, n, "echo ready; sleep 1000")
	ctx := n.Context(t)
	spec, err := task.Container.Spec(ctx)
	if err != nil {
		t.Fatal(err)
	}
	process, err := task.Exec(ctx, harness.NewID(t), spec.Process, cio.NullIO)
	if err == nil {
		err = process.Start(ctx)
	}
	if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "paused") {
		t.Errorf("exec: %v, want a failed precondition that says paused", err)
	}
	task.WantState(t, client.Paused)
}

// A screen collects what a program writes.
type screen struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

// await waits until the screen shows text.
func (s *screen) await(t *testing.T, text string) {
	t.Helper()
	harness.Eventually(t, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !strings.Contains(s.text.String(), text) {
			return fmt.Errorf("no %q in %q", text, s.text.String())
		}
		return nil
	})
}

func TestStreamsOutliveAPause(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		t.Run(fmt.Sprint("terminal ", terminal), func(t *testing.T) {
			t.Parallel()
			var out screen
			stdin, keyboard := io.Pipe()
			c := harness.Container{Args: []string{"sh", "-c", "while read line; do echo got $line; done; echo end"}}
			opts := []cio.Opt{cio.WithStreams(stdin, &out, &out)}
			if terminal {
				c.Opts, opts = []oci.SpecOpts{oci.WithTTY}, append(opts, cio.WithTerminal)
			}
			c.IO = cio.NewCreator(opts...)
			n := harness.Shared(t)
			task := n.Run(t, c)
			ctx := n.Context(t)
			for i := range 3 {
				fmt.Fprintf(keyboard, "before%d\n", i)
				out.await(t, fmt.Sprintf("got before%d", i))
				if err := task.Pause(ctx); err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(keyboard, "while%d\n", i)
				if err := task.Resume(ctx); err != nil {
					t.Fatal(err)
				}
				out.await(t, fmt.Sprintf("got while%d", i))
			}
			keyboard.Close()
			if !terminal {
				if err := task.CloseIO(ctx, client.WithStdinCloser); err != nil {
					t.Fatal(err)
				}
				out.await(t, "end")
			}
		})
	}
}
