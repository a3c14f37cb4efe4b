// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package sweep

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/shim/config"
	"github.com/ateom/ateom/shim/roster"
	"github.com/ateom/ateom/shim/rundir"
	"github.com/ateom/ateom/shim/volumes"
)

const snap = "01jd0000010000000000000000"

// A node is one with sandboxes of which some are dead.
type node struct {
	t   *testing.T
	cfg *config.Config
}

func newNode(t *testing.T) *node {
	dir := t.TempDir()
	cfg := config.Default()
	cfg.StateDir, cfg.RunDir = filepath.Join(dir, "state"), filepath.Join(dir, "run")
	return &node{t, cfg}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (n *node) root(id string) string    { return rundir.Runsc(n.cfg.RunDir, "ns", id) }
func (n *node) scratch(id string) string { return rundir.Sandbox(n.cfg.RunDir, "ns", id) }
func (n *node) volumes(id string) string { return volumes.Dir(n.cfg.StateDir, "ns", id) }

// sandbox makes all that a shim makes for a sandbox, and returns its place.
func (n *node) sandbox(id string) *roster.Place {
	n.t.Helper()
	place, err := roster.Take(n.scratch(id))
	must(n.t, err)
	must(n.t, os.MkdirAll(n.root(id), 0o700))
	must(n.t, os.MkdirAll(filepath.Join(n.volumes(id), "home"), 0o700))
	must(n.t, os.WriteFile(filepath.Join(n.volumes(id), "home", "precious"), []byte(id), 0o600))
	netns := rundir.Netns(n.scratch(id))
	for _, path := range []string{netns, filepath.Join(n.root(id), "ns")} {
		if exists(path) {
			continue // not swept last time
		}
		must(n.t, os.WriteFile(path, nil, 0o600))
		if err := unix.Mount("/proc/self/ns/net", path, "", unix.MS_BIND, ""); err != nil {
			n.t.Fatalf("bind a network namespace (as root): %v", err)
		}
		n.t.Cleanup(func() { _ = unix.Unmount(path, unix.MNT_DETACH) }) // gone where it was swept
	}
	return place
}

// age makes a file or directory old.
func (n *node) age(path string) {
	n.t.Helper()
	then := time.Now().Add(-2 * youth)
	must(n.t, os.Chtimes(path, then, then))
}

func TestWhatDeadShimsLeftIsSweptAndNothingElse(t *testing.T) {
	n := newNode(t)
	alive := n.sandbox("alive")
	defer alive.Leave()
	for _, id := range []string{"dead", "paused", "orphan"} {
		must(t, n.sandbox(id).Leave()) // as the end of its process does
	}
	must(t, volumes.NotePaused(n.volumes("paused"), snap))
	// The shim of orphan died, its sandbox runs on.
	sentry := exec.Command("sh", "-c", "read x", "runsc-sandbox", "--root="+n.root("orphan"))
	stdin, err := sentry.StdinPipe()
	must(t, err)
	must(t, sentry.Start())
	defer func() {
		stdin.Close()
		_ = sentry.Wait() // it ends with its input, unhappily
	}()
	// Volumes whose run directory went with a reboot.
	rebooted := n.volumes("rebooted")
	must(t, os.MkdirAll(filepath.Join(rebooted, "home"), 0o700))

	// Directories of runsc and sockets that nobody's name leads to.
	old, young := filepath.Join(n.cfg.RunDir, "runsc", "old"), filepath.Join(n.cfg.RunDir, "runsc", "young")
	for _, dir := range []string{old, young} {
		must(t, os.MkdirAll(dir, 0o700))
	}
	n.age(old)
	checked, checking := filepath.Join(rundir.Checks(n.cfg.RunDir), "ateom-check-1"), filepath.Join(rundir.Checks(n.cfg.RunDir), "ateom-check-2")
	for _, dir := range []string{checked, checking} {
		must(t, os.MkdirAll(filepath.Join(dir, "root"), 0o700))
	}
	n.age(checked)
	listener, err := net.Listen("unix", filepath.Join(n.cfg.RunDir, "seat-1.sock"))
	must(t, err)
	defer listener.Close()
	n.age(filepath.Join(n.cfg.RunDir, "seat-1.sock"))
	deaf, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(n.cfg.RunDir, "seat-2.sock"), Net: "unix"})
	must(t, err)
	deaf.SetUnlinkOnClose(false)
	must(t, deaf.Close())
	n.age(filepath.Join(n.cfg.RunDir, "seat-2.sock"))
	tty := filepath.Join(n.cfg.RunDir, rundir.TTY+"1")
	must(t, os.Mkdir(tty, 0o700))
	n.age(tty)
	foreign := filepath.Join(n.cfg.RunDir, "something-else")
	must(t, os.Mkdir(foreign, 0o700))
	n.age(foreign)

	want := []string{
		n.scratch("dead"), n.root("dead"), n.volumes("dead"), n.scratch("paused"), n.root("paused"), n.volumes("paused"),
		rebooted, old, checked, filepath.Join(n.cfg.RunDir, "seat-2.sock"), tty,
	}
	slices.Sort(want)
	stay := []string{
		n.scratch("alive"), n.root("alive"), filepath.Join(n.volumes("alive"), "home", "precious"), rundir.Netns(n.scratch("alive")),
		n.scratch("orphan"), n.root("orphan"), filepath.Join(n.volumes("orphan"), "home", "precious"), rundir.Netns(n.scratch("orphan")),
		young, checking, foreign, filepath.Join(n.cfg.RunDir, "seat-1.sock"),
	}
	for _, mode := range []Mode{List, Delete} {
		got, err := Node(n.cfg, mode)
		must(t, err)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("left over (-want +got):\n%s", diff)
		}
		for _, path := range want {
			if exists(path) != (mode == List) {
				t.Errorf("after mode %v %s exists: %v", mode, path, exists(path))
			}
		}
		for _, path := range stay {
			if !exists(path) {
				t.Errorf("after mode %v %s is gone", mode, path)
			}
		}
	}
	// No byte of a DurableDir is lost; the paused sandbox's wait for its snapshot.
	again := n.volumes("again")
	hold, err := volumes.TakeBack(n.cfg.StateDir, again, snap)
	if hold == nil || err != nil {
		t.Fatalf("take the paused sandbox's volumes back: %v, %v", hold, err)
	}
	must(t, hold.Leave())
	for _, path := range []string{filepath.Join(again, "home", "precious"), filepath.Join(n.cfg.StateDir, "lost", "ns-dead-*", "home", "precious")} {
		if found, err := filepath.Glob(path); len(found) != 1 {
			t.Errorf("%s: %v, %v", path, found, err)
		}
	}
	if got, err := Node(n.cfg, List); err != nil || !slices.Equal(got, []string{again}) {
		t.Errorf("afterwards: %v, %v", got, err)
	}
}

func TestASweepIsDueNowAndThenAndAfterABoot(t *testing.T) {
	n := newNode(t)
	leave := func(id string) { must(t, n.sandbox(id).Leave()) }
	sweeps := func(want bool, when string) {
		t.Helper()
		leave("x")
		if got, err := IfDue(n.cfg); err != nil || (len(got) > 0) != want {
			t.Errorf("%s: swept %v, %v", when, got, err)
		}
	}
	sweeps(true, "the first time")
	sweeps(false, "right after it")
	stamp := filepath.Join(n.cfg.RunDir, "swept")
	then := time.Now().Add(-period)
	must(t, os.Chtimes(stamp, then, then))
	sweeps(true, "after the period")
	sweeps(false, "right after it")
	must(t, os.WriteFile(stamp, []byte("another boot"), 0o600))
	sweeps(true, "after a boot")
}

// TestANewShimWaitsForTheSweep: the place that it takes is in the directory that exists.
func TestANewShimWaitsForTheSweep(t *testing.T) {
	n := newNode(t)
	stop := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				ended <- nil
				return
			default:
			}
			if _, err := Node(n.cfg, Delete); err != nil {
				ended <- err
				return
			}
		}
	}()
	for range 300 {
		place, err := roster.Take(n.scratch("x"))
		must(t, err)
		for range 20 {
			if !exists(n.scratch("x")) {
				t.Fatal("the directory of a living shim was swept")
			}
		}
		must(t, place.Leave())
	}
	close(stop)
	must(t, <-ended)
}
