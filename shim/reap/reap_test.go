// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package reap

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestMain makes the test process what a shim is: the reaper of all its
// descendants.
func TestMain(m *testing.M) {
	if err := Children(context.Background()); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func shell(script string) *exec.Cmd { return exec.Command("/bin/sh", "-c", script) }

func TestStatuses(t *testing.T) {
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "kill -KILL $$": 137, "kill -TERM $$": 143} {
		wait, err := Starter{}.Start(shell(script))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // asking twice gives the same answer
			if got, err := wait(); err != nil || got != want {
				t.Errorf("%s: wait = %d, %v, want %d", script, got, err, want)
			}
		}
	}
}

func TestMissingBinary(t *testing.T) {
	if _, err := (Starter{}).Start(exec.Command("/nonexistent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Start = %v", err)
	}
}

// A gofer runs for minutes, and nobody asks how it ended until it is closed.
func TestProcessThatNobodyWaitsForDelaysNobody(t *testing.T) {
	idle := shell("read x")
	in, err := idle.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	waitIdle, err := Starter{}.Start(idle)
	if err != nil {
		t.Fatal(err)
	}
	// More ends than a subscription holds; each would be delayed by a second.
	const others = 48
	start := time.Now()
	for range others {
		wait, err := Starter{}.Start(shell("exit 0"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := wait(); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(start); took > others/4*time.Second {
		t.Errorf("%d processes took %v beside one that nobody waits for", others, took)
	}
	in.Close()
	if _, err := waitIdle(); err != nil {
		t.Error(err)
	}
}

func TestExitsRemembersAdoptedProcesses(t *testing.T) {
	exits := Watch()
	// The shell's child becomes ours when the shell has gone.
	cmd := shell(`sh -c 'read x; exit 5' <&3 >/dev/null & echo $!`)
	gateR, gateW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer gateW.Close()
	outR, outW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer outR.Close()
	cmd.Stdout, cmd.ExtraFiles = outW, []*os.File{gateR}
	wait, err := Starter{}.Start(cmd)
	gateR.Close()
	outW.Close()
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 32)
	n, err := outR.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wait(); err != nil {
		t.Fatal(err)
	}

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := exits.Wait(ended, pid); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait with an ended context = %v", err)
	}
	gateW.Close()
	for range 2 { // before or after the end, and again
		if status, err := exits.Wait(t.Context(), pid); err != nil || status != 5 {
			t.Errorf("Wait = %d, %v, want 5", status, err)
		}
	}
}

func TestExitsForgetsTheOldest(t *testing.T) {
	e := &Exits{statuses: map[int]int{}, changed: make(chan struct{})}
	for pid := range kept + 1 {
		e.add(pid, pid)
		e.add(pid, pid+1) // the number was used again
	}
	if len(e.statuses) != kept || len(e.order) != kept {
		t.Errorf("%d statuses and %d in order, want %d", len(e.statuses), len(e.order), kept)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Wait(ended, 0); err == nil {
		t.Error("the oldest exit is still known")
	}
	if status, err := e.Wait(ended, kept); err != nil || status != kept+1 {
		t.Errorf("the newest exit = %d, %v, want the last that was told", status, err)
	}
}
