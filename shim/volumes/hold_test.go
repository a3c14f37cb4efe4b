// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package volumes

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// holderEnv names the volumes that the test binary is to hold as a shim does, and nothing else.
const holderEnv = "TEST_HOLD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(holderEnv); dir != "" {
		if err := holdUntilKilled(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// holdUntilKilled holds dir, and starts a process that outlives it and ends with the
// standard input of both.
func holdUntilKilled(dir string) error {
	if _, err := Make(dir); err != nil {
		return err
	}
	child := exec.Command("sh", "-c", "echo ready; read x")
	child.Stdin, child.Stdout = os.Stdin, os.Stdout
	if err := child.Start(); err != nil {
		return err
	}
	return child.Wait()
}

func TestWhatIsHeldIsNobodyElses(t *testing.T) {
	state := t.TempDir()
	dir := Dir(state, "ns", "box")
	hold, err := Make(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := fill(t, dir)
	if !InUse(dir) {
		t.Error("nobody has the volumes of a sandbox that lives")
	}
	for _, paused := range []bool{false, true} {
		if paused {
			if err := NotePaused(dir, snap); err != nil {
				t.Fatal(err)
			}
			want[pausedName] = string(snap)
		}
		if err := SetAside(state, dir); !errors.Is(err, ErrInUse) {
			t.Errorf("SetAside = %v, want %v", err, ErrInUse)
		}
		if _, err := Make(dir); !errors.Is(err, ErrInUse) {
			t.Errorf("Make for another sandbox = %v, want %v", err, ErrInUse)
		}
	}
	if diff := cmp.Diff(want, read(t, dir)); diff != "" {
		t.Errorf("volumes (-want +got):\n%s", diff)
	}
	if err := hold.Leave(); err != nil {
		t.Fatal(err)
	}
	if InUse(dir) {
		t.Error("volumes are in use that were left")
	}
	if err := SetAside(state, dir); err != nil {
		t.Fatal(err)
	}
	// What is taken back is held, also where it lay.
	other := Dir(state, "ns2", "box2")
	back, err := TakeBack(state, other, snap)
	if back == nil || err != nil {
		t.Fatalf("TakeBack = %v, %v", back, err)
	}
	if !InUse(other) {
		t.Error("nobody has the volumes that were taken back")
	}
	if err := back.Leave(); err != nil {
		t.Fatal(err)
	}
}

// A hold ends with the shim, though what the shim has started lives on.
func TestAHoldEndsWithItsProcessAlone(t *testing.T) {
	dir := Dir(t.TempDir(), "ns", "box")
	shim := exec.Command(os.Args[0])
	shim.Env = append(os.Environ(), holderEnv+"="+dir)
	shim.Stderr = os.Stderr
	stdin, err := shim.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close() // the end of what the shim has started
	out, err := shim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := shim.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the shim said %q, %v", line, err)
	}
	if !InUse(dir) {
		t.Error("nobody has the volumes of a shim that lives")
	}
	if err := shim.Process.Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = shim.Wait() // it was killed
	if InUse(dir) {
		t.Error("the volumes are in use when their shim has been killed")
	}
}

// A sweep that looks, and removes what is empty, does not get between a shim and its volumes.
func TestASweepDoesNotDisturbWhoMakesVolumes(t *testing.T) {
	state := t.TempDir()
	dir := Dir(state, "ns", "box")
	stop, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				ended <- nil
				return
			default:
			}
			if InUse(dir) {
				continue
			}
			if err := SetAside(state, dir); err != nil && !errors.Is(err, ErrInUse) {
				ended <- err
				return
			}
		}
	}()
	for range 300 {
		hold, err := Make(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(dir, "home"), 0o700); err != nil {
			t.Fatalf("the place of volumes that are held: %v", err)
		}
		if err := errors.Join(os.Remove(filepath.Join(dir, "home")), hold.Leave()); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
