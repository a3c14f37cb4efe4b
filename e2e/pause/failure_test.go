// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package pause

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/shim/config"
)

// wantUntouched fails the test unless a failed pause has left the service
// running and nothing in the state directory.
func wantUntouched(t *testing.T, s *harness.Service) {
	t.Helper()
	s.WantState(t, client.Running)
	s.WantSame(t, s.Last())
	s.AwaitNumbers(t)
	for _, pattern := range []string{"drafts/*", "snapshots/*"} {
		if found, err := filepath.Glob(filepath.Join(s.Node.Config.StateDir, pattern)); err != nil || len(found) > 0 {
			t.Errorf("the failed pause left %q (%v)", found, err)
		}
	}
}

// wantPause pauses and resumes the service, which must work.
func wantPause(t *testing.T, s *harness.Service) {
	t.Helper()
	ctx := s.Node.Context(t)
	if err := s.Pause(ctx); err != nil {
		t.Fatal(err)
	}
	s.WantState(t, client.Paused)
	if err := s.Resume(ctx); err != nil {
		t.Fatal(err)
	}
	s.WantSame(t, s.Last())
	s.WantNumbers(t, 0)
}

func TestAKilledGoferLeavesTheSandboxRunning(t *testing.T) {
	t.Parallel()
	n := harness.NewNode(t, harness.Config{})
	s := n.RunService(t, harness.ServiceContainer(harness.NewNetwork(t), 256, nil))
	paused := make(chan error, 1)
	ctx := n.Context(t)
	go func() { paused <- s.Pause(ctx) }()
	killed := killGoferInSave(t, s)
	select {
	case err := <-paused:
		if err == nil {
			t.Fatalf("the pause succeeded although its gofer (process %d) was killed in the middle", killed)
		}
		wantWords(t, err.Error(), "pause sandbox "+s.ID+"; it runs on: ", "save sandbox "+s.ID+": ")
	case <-time.After(harness.Limit):
		t.Fatalf("the pause did not end within %s", harness.Limit)
	}
	wantUntouched(t, s)
	wantPause(t, s)
}

// killGoferInSave waits until some pages are written, kills the process that
// writes them, and returns its id.
func killGoferInSave(t *testing.T, s *harness.Service) (killed int) {
	t.Helper()
	harness.Eventually(t, func() (err error) {
		if killed, err = goferInSave(t, s); err != nil {
			return err
		}
		return unix.Kill(killed, unix.SIGKILL)
	})
	return killed
}

// goferInSave returns the process that writes a sandbox's pages, once it has
// written some.
func goferInSave(t *testing.T, s *harness.Service) (pid int, err error) {
	t.Helper()
	const some = 8 << 20
	if written, err := pagesWritten(s.Node); err != nil || written < some {
		return 0, fmt.Errorf("too few pages are written: %v", err)
	}
	for _, pid := range harness.Find(t, func(args string) bool { return strings.HasPrefix(args, "runsc-checkpointgofer") }) {
		if s.Node.Owns(pid) {
			return pid, nil
		}
	}
	return 0, fmt.Errorf("no gofer runs")
}

// pagesWritten returns how many bytes of pages are in the node's draft.
func pagesWritten(n *harness.Node) (int64, error) {
	files, err := filepath.Glob(filepath.Join(n.Config.StateDir, "drafts", "*", "image", "pages.img"))
	if err != nil || len(files) == 0 {
		return 0, fmt.Errorf("no pages are being written: %v", err)
	}
	var st unix.Stat_t // its length runs ahead of what is in it
	if err := unix.Stat(files[0], &st); err != nil {
		return 0, err
	}
	return st.Blocks * 512, nil
}

func TestAFullDiskLeavesTheSandboxRunning(t *testing.T) {
	for _, how := range []config.CheckpointIO{config.Gofer, config.Files} {
		t.Run(string(how), func(t *testing.T) {
			t.Parallel()
			small := filepath.Join(t.TempDir(), "lib")
			if err := os.Mkdir(small, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=40m"); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := unix.Unmount(small, 0); err != nil {
					t.Error(err)
				}
			})
			n := harness.NewNode(t, harness.Config{Config: config.Config{StateDir: small, CheckpointIO: how}})
			s := n.RunService(t, harness.ServiceContainer(harness.NewNetwork(t), 64, nil))
			err := s.Pause(n.Context(t))
			if err == nil || !strings.Contains(err.Error(), "no space left on device") {
				t.Errorf("pause on a full disk: %v", err)
			}
			wantUntouched(t, s)
			if err := unix.Mount("tmpfs", small, "tmpfs", unix.MS_REMOUNT, "size=400m"); err != nil {
				t.Fatal(err)
			}
			wantPause(t, s)
		})
	}
}
