// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// A Result is how a command ended.
type Result struct {
	Stdout, Stderr string
	// Code is the exit code, or -1 if a signal or the Limit ended it.
	Code int
	Took time.Duration
}

// A Command is a command line of a node.
type Command struct {
	// Program is "ctr" or "ctr-ateom".
	Program string
	Args    []string
	// Stdin is what the command reads; nil is nothing.
	Stdin io.Reader
	// Watch gets the output as it comes, beside Result.
	Watch io.Writer
	// Env is added to the environment.
	Env []string
}

// Do runs a command on the node, within Limit.
func (n *Node) Do(t testing.TB, c Command) Result {
	t.Helper()
	path, err := Program(c.Program)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), Limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, append([]string{"--address", n.Address, "--namespace", n.Namespace}, c.Args...)...)
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Env = append(cmd.Env, "ATEOM_CONFIG="+n.ConfigPath(), "CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS=1")
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, &stdout, &stderr
	if c.Watch != nil {
		cmd.Stdout = io.MultiWriter(&stdout, c.Watch)
	}
	// Something that inherited the output must not hold the test up.
	cmd.WaitDelay = time.Second
	began := time.Now()
	err = cmd.Run()
	r := Result{Stdout: stdout.String(), Stderr: stderr.String(), Took: time.Since(began), Code: cmd.ProcessState.ExitCode()}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", c, err)
	}
	return r
}

func (c Command) String() string { return c.Program + " " + strings.Join(c.Args, " ") }

// must fails the test unless the command ended well.
func (n *Node) must(t testing.TB, c Command) string {
	t.Helper()
	r := n.Do(t, c)
	if r.Code != 0 {
		t.Fatalf("%s: exit code %d after %s\n%s%s\ncontainerd's log:\n%s", c, r.Code, r.Took, r.Stdout, r.Stderr, n.LastLog())
	}
	return r.Stdout
}

// Ctr runs stock ctr, which must succeed, and returns its output.
func (n *Node) Ctr(t testing.TB, args ...string) string {
	t.Helper()
	return n.must(t, Command{Program: "ctr", Args: args})
}

// Ateom runs ctr-ateom, which must succeed, and returns its output.
func (n *Node) Ateom(t testing.TB, args ...string) string {
	t.Helper()
	return n.must(t, Command{Program: "ctr-ateom", Args: args})
}

// SandboxState is the state of the task's sandbox as ateom has it.
func (task *Task) SandboxState(t testing.TB) string {
	t.Helper()
	var s struct{ State string }
	out := task.Node.Ateom(t, "tasks", "status", "--json", task.ID)
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatalf("decode status %q: %v", out, err)
	}
	return s.State
}

// LastLine returns the last line of a command's output.
func LastLine(output string) string {
	lines := strings.Split(strings.TrimSpace(output), "\n")
	return lines[len(lines)-1]
}

// pollPeriod is between two looks at what changes by itself.
const pollPeriod = 5 * time.Millisecond

// GiveUp returns an error after which Poll gives up.
func GiveUp(err error) error { return &hopeless{err} }

type hopeless struct{ error }

func (h *hopeless) Unwrap() error { return h.error }

// Poll calls check until it returns nil; after Limit it returns check's error.
func Poll(check func() error) error { return PollFor(Limit, pollPeriod, check) }

// PollFor is Poll for what takes longer, or costs more to look at.
func PollFor(limit, period time.Duration, check func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := check()
		if err == nil {
			return nil
		}
		var h *hopeless
		if errors.As(err, &h) {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %s: %w", limit, err)
		}
		time.Sleep(period)
	}
}

// Eventually is Poll for the goroutine of a test, which fails if check does.
func Eventually(t testing.TB, check func() error) {
	t.Helper()
	if err := Poll(check); err != nil {
		t.Fatal(err)
	}
}
