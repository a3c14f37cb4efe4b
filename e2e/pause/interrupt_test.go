// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package pause

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/e2e/harness"
)

// killLimit is how long a kill may take: as long as containerd waits for Pids, a
// query that it makes before it does anything else.
const killLimit = 5 * time.Second

// stallPause begins to pause a service of some size and has the side-car stand still
// in the middle of its pages, so that the pause does not end by itself.
func stallPause(t *testing.T, n *harness.Node) (s *harness.Service, paused <-chan error) {
	t.Helper()
	const ballast, most = 256, 128 << 20 // MiB; bytes that are written by then
	s = n.RunService(t, harness.ServiceContainer(harness.NewNetwork(t), ballast, nil))
	ctx := n.Context(t)
	untilHit(t, func() bool {
		done := make(chan error, 1)
		go func() { done <- s.Pause(ctx) }()
		var gofer int
		harness.Eventually(t, func() (err error) {
			if len(done) > 0 {
				return nil // too late
			}
			if gofer, err = goferInSave(t, s); err != nil {
				return err
			}
			return unix.Kill(gofer, unix.SIGSTOP)
		})
		if written, err := pagesWritten(n); err == nil && written <= most {
			paused = done
			return true
		}
		_ = unix.Kill(gofer, unix.SIGCONT) // it may have ended
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if err := s.Resume(ctx); err != nil {
			t.Fatal(err)
		}
		return false
	})
	return s, paused
}

// untilHit calls a scenario until its fault has come in time, which it says.
func untilHit(t *testing.T, scenario func() bool) {
	t.Helper()
	const tries = 5
	for range tries {
		if scenario() {
			return
		}
	}
	t.Fatalf("the fault came too late, %d times", tries)
}

func TestKillWinsOverAPause(t *testing.T) {
	t.Parallel()
	n := harness.NewNode(t, harness.Config{})
	s, paused := stallPause(t, n)
	began := time.Now()
	if code := s.KillAndWait(t, syscall.SIGKILL); code != 137 {
		t.Errorf("exit code %d, want 137", code)
	}
	if took := time.Since(began); took > killLimit {
		t.Errorf("the kill took %s, more than %s", took, killLimit)
	}
	if err := <-paused; err == nil || !strings.Contains(err.Error(), "sandbox was killed") {
		t.Errorf("the pause of a sandbox that was killed meanwhile: %v", err)
	}
	s.WantState(t, client.Stopped)
	if _, err := s.Delete(n.Context(t)); err != nil {
		t.Fatal(err)
	}
	if left := s.Processes(t); len(left) > 0 {
		t.Errorf("processes left: %q", left)
	}
	for _, dir := range []string{"drafts", "snapshots"} {
		entries, err := os.ReadDir(filepath.Join(n.Config.StateDir, dir))
		if err != nil || len(entries) > 0 {
			t.Errorf("%s of the killed sandbox: %v, %v", dir, entries, err)
		}
	}
}
