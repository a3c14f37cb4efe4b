// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package pause

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/e2e/harness"
)

// spoil changes some bytes of every so many of the paused sandbox's memory, but for
// its margins, shares of it in percent.
func spoil(t *testing.T, n *harness.Node, every, margin int64) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(n.Config.StateDir, "snapshots", "*", "image", "pages.img"))
	if err != nil || len(files) != 1 {
		t.Fatalf("pages %q, %v", files, err)
	}
	f, err := os.OpenFile(files[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	for at := fi.Size() * margin / 100; at < fi.Size()*(100-margin)/100; at += every {
		if _, err := f.WriteAt([]byte("garbage"), at); err != nil {
			t.Fatal(err)
		}
	}
}

// Memory that does not verify is named. Where the program's first steps need it, the
// Resume fails; what is loaded behind them may take a sandbox that was resumed by then.
func TestPagesThatDoNotVerifyAreNamed(t *testing.T) {
	for _, c := range []struct {
		name          string
		every, margin int64
		fails         bool
	}{
		{"every page", 4 << 10, 0, true},
		{"some in the middle", 8 << 20, 25, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := harness.NewNode(t, harness.Config{})
			s := n.RunService(t, harness.ServiceContainer(harness.NewNetwork(t), 128, nil))
			id := pausedID(t, n, s)
			spoil(t, n, c.every, c.margin)
			const words = "of part pages"
			r := n.Do(t, harness.Command{Program: "ctr-ateom", Args: []string{"tasks", "resume", s.ID}})
			switch {
			case r.Code != 0:
				said, _, _ := strings.Cut(r.Stderr, "\nhint: ")
				wantWords(t, said, "resume sandbox "+s.ID+"; it is paused again", id, "chunk ", words)
				s.WantState(t, client.Paused)
			case c.fails:
				t.Error("it was resumed")
			default:
				s.AwaitState(t, client.Stopped)
			}
			harness.Eventually(t, func() error {
				if log := harness.ReadFile(t, n.LogPath()); !strings.Contains(log, words) {
					return fmt.Errorf("the node's log does not tell:\n%s", n.LastLog())
				}
				return nil
			})
		})
	}
}

// A sandbox that is killed while its program is not ready yet is said to have been,
// at once.
func TestAKillBeforeReadinessIsTold(t *testing.T) {
	t.Parallel()
	n := harness.NewNode(t, harness.Config{})
	c := newSecretive()
	c.Args = []string{"sh", "-c", "echo ready; while :; do echo again; sleep 0.1; done"}
	c.Annotations = map[string]string{"ateom.dev/readiness": `[{"exec":{"command":["test","-e","/go"]},"periodSeconds":50,"failureThreshold":1}]`}
	task := n.Run(t, c)
	task.AwaitLog(t, "ready")
	n.Ateom(t, "tasks", "pause", task.ID)
	slept := len(task.Log(t))
	ended := make(chan harness.Result, 1)
	go func() {
		ended <- n.Do(t, harness.Command{Program: "ctr-ateom", Args: []string{"tasks", "resume", task.ID}})
	}()
	harness.Eventually(t, func() error {
		if len(task.Log(t)) == slept {
			return fmt.Errorf("the program does not go on")
		}
		for _, pid := range harness.Find(t, func(args string) bool { return strings.Contains(args, " restore --detach") }) {
			if n.Owns(pid) {
				return fmt.Errorf("runsc %d restores still", pid)
			}
		}
		return nil
	})
	if err := unix.Kill(sandboxOf(t, n), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	r := <-ended
	said, _, _ := strings.Cut(r.Stderr, "\nhint: ")
	if r.Code == 0 {
		t.Error("it was resumed")
	}
	wantWords(t, said, "it is paused again", "was killed by SIGKILL")
	task.WantState(t, client.Paused)
}

// pausedID pauses a service and returns the snapshot that it sleeps in.
func pausedID(t *testing.T, n *harness.Node, s *harness.Service) string {
	t.Helper()
	n.Ateom(t, "tasks", "pause", s.ID)
	found, err := filepath.Glob(filepath.Join(n.Config.StateDir, "snapshots", "*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("snapshots %q, %v", found, err)
	}
	return filepath.Base(found[0])
}
