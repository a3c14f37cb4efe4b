// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/shim/reap"
	"github.com/ateom/ateom/shim/record"
	"github.com/ateom/ateom/shim/roster"
	"github.com/ateom/ateom/shim/rundir"
	"github.com/ateom/ateom/shim/volumes"
)

// A deadShim is what a shim leaves that was killed.
type deadShim struct {
	bundle string
	record *record.Record
	calls  string // what runsc was called with
}

// snap is what the dead shim's sandbox was paused in.
const snap = "01jd0000010000000000000000"

// newDeadShim makes one whose runsc is the script.
func newDeadShim(t *testing.T, script string) *deadShim {
	t.Helper()
	dir := t.TempDir()
	d := &deadShim{bundle: filepath.Join(dir, "task", "box"), calls: filepath.Join(dir, "calls")}
	state := filepath.Join(dir, "state")
	d.record = &record.Record{
		Sandbox: "box", Runsc: filepath.Join(dir, "runsc"), Root: rundir.Runsc(filepath.Join(dir, "run"), "ns", "box"), Flags: []string{"--x=y"},
		Rootfs: filepath.Join(d.bundle, "rootfs"), StateDir: state, Volumes: volumes.Dir(state, "ns", "box"),
		Scratch: filepath.Join(dir, "scratch"), Origin: filepath.Join(dir, "origin"),
	}
	for _, path := range []string{d.record.Rootfs, d.record.Root, d.record.Scratch, d.record.Origin, filepath.Join(d.record.Volumes, "home")} {
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for path, text := range map[string]string{
		d.record.Runsc: "#!/bin/sh\necho \"$@\" >>'" + d.calls + "'\n" + script + "\n",
		filepath.Join(d.record.Volumes, "home/precious"): "bytes",
		filepath.Join(d.record.Scratch, "seat"):          "x",
		filepath.Join(d.record.Origin, "pages"):          "x",
		d.seat():                                         "a socket that nobody listens on",
	} {
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mount("tmpfs", d.record.Rootfs, "tmpfs", 0, ""); err != nil {
		t.Fatalf("mount a root file system (as root): %v", err)
	}
	if err := volumes.NotePaused(d.record.Volumes, snap); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(d.record.Rootfs, unix.MNT_DETACH) })
	if err := record.Write(d.bundle, d.record); err != nil {
		t.Fatal(err)
	}
	t.Chdir(d.bundle)
	return d
}

// seat is the socket of a gofer that was killed.
func (d *deadShim) seat() string {
	return rundir.Seat(filepath.Dir(filepath.Dir(d.record.Root)), "ns", "box")
}

func isMountPoint(t *testing.T, path string) bool {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(b), " "+path+" ")
}

// checkClean says what is left of the shim, and that the volumes are not lost.
func (d *deadShim) checkClean(t *testing.T) {
	t.Helper()
	for _, path := range []string{d.record.Scratch, d.record.Origin, d.record.Volumes, d.seat()} {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", path, err)
		}
	}
	hold, err := volumes.TakeBack(d.record.StateDir, d.record.Volumes, snap)
	if hold == nil || err != nil {
		t.Fatalf("TakeBack = %v, %v, want the volumes of the paused sandbox", hold, err)
	}
	defer hold.Leave()
	if b, err := os.ReadFile(filepath.Join(d.record.Volumes, "home/precious")); err != nil || string(b) != "bytes" {
		t.Errorf("the volume holds %q, %v", b, err)
	}
}

func TestDeleteCleansUpAfterADeadShim(t *testing.T) {
	d := newDeadShim(t, "")
	status, err := (actions{name: "x"}).Stop(t.Context(), "box")
	if err != nil {
		t.Fatal(err)
	}
	if status.ExitStatus != 137 || time.Since(status.ExitedAt) > time.Minute {
		t.Errorf("status %+v, want a kill just now", status)
	}
	b, err := os.ReadFile(d.calls)
	if err != nil || !strings.Contains(string(b), "--root="+d.record.Root) || !strings.HasSuffix(string(b), "--x=y delete --force box\n") {
		t.Errorf("runsc was called with %q, %v", b, err)
	}
	if isMountPoint(t, d.record.Rootfs) {
		t.Error("the root file system is still mounted")
	}
	d.checkClean(t)
}

// Whatever hangs or fails, the rest is cleaned up, and in time.
func TestDeleteGoesOnAfterAFailure(t *testing.T) {
	t.Run("runsc hangs", func(t *testing.T) {
		d := newDeadShim(t, "exec sleep 60")
		start := time.Now()
		if _, err := (actions{name: "x"}).Stop(t.Context(), "box"); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("it took %v, containerd waits 5 s", took)
		}
		d.checkClean(t)
	})
	t.Run("rootfs is busy", func(t *testing.T) {
		d := newDeadShim(t, "exit 1")
		busy, err := os.Create(filepath.Join(d.record.Rootfs, "open"))
		if err != nil {
			t.Fatal(err)
		}
		defer busy.Close()
		if _, err := (actions{name: "x"}).Stop(t.Context(), "box"); err == nil || !strings.Contains(err.Error(), "unmount "+d.record.Rootfs) {
			t.Errorf("Stop = %v, want the mount named", err)
		}
		d.checkClean(t)
	})
}

// The sandbox ends even if runsc hangs or does not know it; somebody else's is left alone.
func TestDeleteEndsTheSandboxItself(t *testing.T) {
	for _, want := range []int{137, 1} {
		d := newDeadShim(t, "")
		name := "--root=" + d.record.Root
		if want == 1 {
			name = "--root=/somebody/else"
		}
		victim := exec.Command("/bin/sh", "-c", "read x", name)
		in, err := victim.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		wait, err := reap.Starter{}.Start(victim)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (actions{name: "x"}).Stop(t.Context(), "box"); err != nil {
			t.Error(err)
		}
		in.Close() // who lives ends by itself
		if got, err := wait(); err != nil || got != want {
			t.Errorf("%s ended with %d, %v, want %d", name, got, err, want)
		}
	}
}

// To a containerd that was restarted, a shim is dead that does not answer in time.
func TestDeleteEndsAShimThatLives(t *testing.T) {
	d := newDeadShim(t, "")
	cmd := exec.Command(os.Args[0], "-place", d.record.Scratch)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	wait, err := reap.Starter{}.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("the shim said %q, %v", line, err)
	}
	if err := unix.Kill(cmd.Process.Pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if _, err := (actions{name: "x"}).Stop(t.Context(), "box"); err != nil {
		t.Fatal(err)
	}
	// Where it was not ended, it goes on, and ends by itself.
	_ = unix.Kill(cmd.Process.Pid, unix.SIGCONT)
	in.Close()
	if status, err := wait(); err != nil || status != 137 {
		t.Errorf("the shim ended with %d, %v, want 137", status, err)
	}
	d.checkClean(t)
}

// Where it cannot be told who has the sandbox, everything is left to whoever does.
func TestDeleteTouchesNothingOfAShimThatItCannotEnd(t *testing.T) {
	d := newDeadShim(t, "")
	place, err := roster.Take(d.record.Scratch)
	if err != nil {
		t.Fatal(err)
	}
	defer place.Leave()
	if _, err := (actions{name: "x"}).Stop(t.Context(), "box"); err == nil || !strings.Contains(err.Error(), d.record.Scratch) {
		t.Errorf("Stop = %v, want the place named", err)
	}
	for _, path := range []string{d.record.Scratch, d.record.Origin, filepath.Join(d.record.Volumes, "home/precious")} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	if b, err := os.ReadFile(d.calls); err == nil {
		t.Errorf("runsc was called with %q", b)
	}
}

func TestDeleteOfASubContainerLeavesTheSandbox(t *testing.T) {
	d := newDeadShim(t, "")
	d.record.Volumes, d.record.Scratch, d.record.Origin = "", "", ""
	if err := record.Write(d.bundle, d.record); err != nil {
		t.Fatal(err)
	}
	if _, err := (actions{name: "x"}).Stop(t.Context(), "box"); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(filepath.Join(d.record.StateDir, "volumes", "ns", "box")); err != nil || len(entries) != 2 {
		t.Errorf("the sandbox's volumes and their note are %v, %v", entries, err)
	}
}

func TestDeleteOfABundleThatTheShimNeverTouched(t *testing.T) {
	bundle := filepath.Join(t.TempDir(), "box")
	if err := os.Mkdir(bundle, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(bundle)
	// It was killed when it had hardly begun, and its socket is what the start action has made.
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if err := os.WriteFile("address", []byte("unix://"+socket), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, err := (actions{name: "x"}).Stop(t.Context(), "box"); err != nil || status.ExitStatus != 137 {
		t.Errorf("Stop = %+v, %v", status, err)
	}
	if _, err := os.Lstat(socket); !os.IsNotExist(err) {
		t.Errorf("the socket is there: %v", err)
	}
}
