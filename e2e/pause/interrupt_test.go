// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package pause

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"

	"github.com/ateom/ateom/e2e/harness"
)

// killLimit is how long a kill may take: as long as containerd waits for Pids, a
// query that it makes before it does anything else.
const killLimit = 5 * time.Second

// startPause begins to pause a service of 256 MiB and returns when pages are
// being written.
func startPause(t *testing.T, n *harness.Node) (s *harness.Service, paused <-chan error) {
	t.Helper()
	s = n.RunService(t, harness.ServiceContainer(harness.NewNetwork(t), 256, nil))
	done := make(chan error, 1)
	ctx := n.Context(t)
	go func() { done <- s.Pause(ctx) }()
	harness.Eventually(t, func() error {
		files, err := filepath.Glob(filepath.Join(n.Config.StateDir, "drafts", "*", "image", "pages.img"))
		if err == nil && len(files) == 0 {
			err = fmt.Errorf("no pages are being written")
		}
		return err
	})
	return s, done
}

func TestKillWinsOverAPause(t *testing.T) {
	t.Parallel()
	n := harness.NewNode(t, harness.Config{})
	s, paused := startPause(t, n)
	began := time.Now()
	if code := s.KillAndWait(t, syscall.SIGKILL); code != 137 {
		t.Errorf("exit code %d, want 137", code)
	}
	if took := time.Since(began); took > killLimit {
		t.Errorf("the kill took %s, more than %s", took, killLimit)
	}
	if err := <-paused; err == nil {
		t.Log("the pause was done before the kill")
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
