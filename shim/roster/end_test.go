// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package roster

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ateom/ateom/shim/rundir"
)

// placeEnv makes the test binary a process that opens the directory it names, and
// lockEnv one that takes its place there, as a shim does.
const (
	placeEnv = "TEST_PLACE"
	lockEnv  = "TEST_LOCK"
)

func TestMain(m *testing.M) {
	dir := os.Getenv(placeEnv)
	if dir == "" {
		os.Exit(m.Run())
	}
	if err := live(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// live has a directory open until the standard input ends.
func live(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if os.Getenv(lockEnv) != "" {
		p, err := Take(dir)
		if err != nil {
			return err
		}
		if err := p.Put(Entry{PID: os.Getpid()}); err != nil {
			return err
		}
	}
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// process starts live and waits until it is ready. release lets it end by itself.
func process(t *testing.T, dir, lock string) (cmd *exec.Cmd, release func()) {
	t.Helper()
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), placeEnv+"="+dir, lockEnv+"="+lock)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("the process said %q, %v", line, err)
	}
	return cmd, func() { in.Close() }
}

func TestEndKillsTheShimThatHasThePlace(t *testing.T) {
	for _, signal := range []syscall.Signal{0, syscall.SIGSTOP} {
		dir := rundir.Sandbox(t.TempDir(), "ns", "box")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		shim, release := process(t, dir, "yes")
		if err := shim.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		place, err := End(t.Context(), dir)
		if err != nil || place == nil {
			t.Fatalf("End = %v, %v, want the place", place, err)
		}
		if other, err := TakeDead(dir); err != nil || other != nil {
			t.Errorf("the place can be taken beside whoever cleans up: %v, %v", other, err)
		}
		release()
		if err := shim.Wait(); err == nil || !shim.ProcessState.Sys().(syscall.WaitStatus).Signaled() {
			t.Errorf("the shim ended with %v, want a kill", err)
		}
		if err := place.Leave(); err != nil {
			t.Error(err)
		}
	}
}

// The number in an entry may have been given to any other process.
func TestEndTouchesNobodyElse(t *testing.T) {
	short := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 5*look)
		t.Cleanup(cancel)
		return ctx
	}
	for name, has := range map[string]bool{"one that has nothing to do with it": false, "one that has looked into the place": true} {
		t.Run(name, func(t *testing.T) {
			run := t.TempDir()
			held := take(t, run, "box", "running")
			dir := rundir.Sandbox(run, "ns", "box")
			open := run
			if has {
				open = dir
			}
			bystander, release := process(t, open, "")
			if err := held.Put(Entry{PID: bystander.Process.Pid}); err != nil {
				t.Fatal(err)
			}
			if place, err := End(short(), dir); place != nil || err == nil || !strings.Contains(err.Error(), dir) {
				t.Errorf("End = %v, %v, want an error that names the place", place, err)
			}
			release()
			if err := bystander.Wait(); err != nil {
				t.Errorf("the process ended with %v", err)
			}
		})
	}
	for name, spoil := range map[string]func(path string) error{
		"no entry":         os.Remove,
		"half an entry":    func(path string) error { return os.WriteFile(path, []byte(`{"vers`), 0o600) },
		"an entry of none": func(path string) error { return os.WriteFile(path, []byte(`{"version":1}`), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			run := t.TempDir()
			take(t, run, "box", "running")
			dir := rundir.Sandbox(run, "ns", "box")
			if err := spoil(filepath.Join(dir, fileName)); err != nil {
				t.Fatal(err)
			}
			if place, err := End(short(), dir); place != nil || err == nil || !strings.Contains(err.Error(), dir) {
				t.Errorf("End = %v, %v, want an error that names the place", place, err)
			}
		})
	}
}

func TestEndWaitsForWhoeverLooks(t *testing.T) {
	run := t.TempDir()
	looking := take(t, run, "box", "running") // of a process that has no entry of its own
	dir := rundir.Sandbox(run, "ns", "box")
	time.AfterFunc(3*look, func() { _ = looking.Leave() })
	place, err := End(t.Context(), dir)
	if err != nil || place == nil {
		t.Fatalf("End = %v, %v, want the place", place, err)
	}
	if err := place.Leave(); err != nil {
		t.Error(err)
	}
}

func TestEndMakesNoPlace(t *testing.T) {
	dir := rundir.Sandbox(t.TempDir(), "ns", "box")
	if place, err := End(t.Context(), dir); place != nil || err != nil {
		t.Errorf("End = %v, %v, want nothing", place, err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("End made the directory: %v", err)
	}
}

func TestOnlyAShimsLockIsProof(t *testing.T) {
	const head = "pos:\t0\nflags:\t02300000\nmnt_id:\t30\nino:\t42\n"
	for info, want := range map[string]bool{
		head: false,
		head + "lock:\t1: FLOCK  ADVISORY  READ 7 00:1d:42 0 EOF\n":  false,
		head + "lock:\t1: POSIX  ADVISORY  WRITE 7 00:1d:42 0 EOF\n": false,
		head + "lock:\t1: FLOCK  ADVISORY  WRITE 7 00:1d:42 0 EOF\n": true,
	} {
		if got := isLocked([]byte(info)); got != want {
			t.Errorf("isLocked(%q) = %v", info, got)
		}
	}
}
