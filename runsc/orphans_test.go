// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package runsc

import (
	"context"
	"io"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// begin starts a process with that argument, which ends by itself when its input does.
func begin(t *testing.T, arg string) (cmd *exec.Cmd, in io.Closer) {
	t.Helper()
	cmd = exec.Command("/bin/sh", "-c", "read x", arg)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, in
}

func killed(err error) bool {
	exit, ok := err.(*exec.ExitError)
	return ok && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
}

func TestOrphansAreThoseOfTheRoot(t *testing.T) {
	r := &Runsc{Root: t.TempDir() + "/a"}
	for arg, want := range map[string]bool{
		"--root=" + r.Root:       true,
		"--root=" + r.Root + "b": false,
		"x--root=" + r.Root:      false,
		r.Root:                   false,
	} {
		cmd, in := begin(t, arg)
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		if err := r.KillOrphans(t.Context()); err != nil {
			t.Errorf("%s: %v", arg, err)
		}
		in.Close()
		if err := <-ended; killed(err) != want {
			t.Errorf("%s: %v, want it killed: %t", arg, err, want)
		}
	}
}

// Its end is waited for, and not that somebody reaps it.
func TestTheEndOfAnOrphanIsWaitedFor(t *testing.T) {
	r := &Runsc{Root: t.TempDir()}
	cmd, in := begin(t, "--root="+r.Root)
	defer in.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := r.KillOrphans(ctx); err != nil {
		t.Error(err)
	}
	// It is a zombie now: a second look finds nothing to kill.
	if n, err := r.killOnce(ctx); n != 0 || err != nil {
		t.Errorf("%d processes were killed again, %v", n, err)
	}
	if err := cmd.Wait(); !killed(err) {
		t.Errorf("it ended with %v", err)
	}
}
