// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package pause

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/shim/config"
)

// A gate is in front of a node's checkpoint side-car. While it is shut no save
// gets on, so that what is to come before a save's end does on any machine.
type gate struct{ sidecar, fifo string }

// newGated starts a node whose saves pass a gate, which is open.
func newGated(t *testing.T) (*harness.Node, *gate) {
	t.Helper()
	real, err := harness.Program("ateom-gofer")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	g := &gate{sidecar: filepath.Join(dir, "gvisor-bin", job.SeatBinary), fifo: filepath.Join(dir, "gate")}
	script := fmt.Sprintf("#!/bin/sh\ncase \"$*\" in *-allow-checkpoint-writes*) [ -p %[1]s ] && read word <%[1]s ;; esac\nexec %[2]s \"$@\"\n",
		g.fifo, filepath.Join(filepath.Dir(real), "gvisor-bin", job.SeatBinary))
	err = os.Mkdir(filepath.Dir(g.sidecar), 0o755)
	if err == nil {
		err = os.WriteFile(g.sidecar, []byte(script), 0o755)
	}
	if err == nil {
		err = os.Symlink(real, filepath.Join(dir, "ateom-gofer"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return harness.NewNode(t, harness.Config{Config: config.Config{Gofer: filepath.Join(dir, "ateom-gofer")}}), g
}

// shut holds the next save up.
func (g *gate) shut(t *testing.T) {
	t.Helper()
	if err := unix.Mkfifo(g.fifo, 0o600); err != nil {
		t.Fatal(err)
	}
}

// await waits until a save stands before the gate; open lets it and all that
// follow through.
func (g *gate) await(t *testing.T) (open func()) {
	t.Helper()
	var fd int
	harness.Eventually(t, func() (err error) {
		fd, err = unix.Open(g.fifo, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.ENXIO) {
			return errors.New("no save has begun")
		}
		return err
	})
	return func() {
		t.Helper()
		if err := os.Remove(g.fifo); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
		unix.Close(fd) // whoever reads sees the end
	}
}

// kill kills the side-car that stands before the gate.
func (g *gate) kill(t *testing.T) {
	t.Helper()
	held := harness.Find(t, func(args string) bool { return strings.Contains(args, g.sidecar) })
	if len(held) != 1 {
		t.Fatalf("side-cars before the gate: %v", held)
	}
	if err := unix.Kill(held[0], unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
}
