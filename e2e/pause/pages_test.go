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

// spoil changes some bytes of every eighth MiB of the middle of the paused
// sandbox's memory, which is loaded behind what the program waits for.
func spoil(t *testing.T, n *harness.Node) {
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
	for at := fi.Size() / 4; at < fi.Size()*3/4; at += 8 << 20 {
		if _, err := f.WriteAt([]byte("garbage"), at); err != nil {
			t.Fatal(err)
		}
	}
}

// A sandbox whose memory cannot be brought back behind its program's first steps
// dies, and it is said of what.
func TestPagesThatDoNotVerifyAreNamed(t *testing.T) {
	t.Parallel()
	n := harness.NewNode(t, harness.Config{})
	s := n.RunService(t, harness.ServiceContainer(harness.NewNetwork(t), 128, nil))
	id := pausedID(t, n, s)
	spoil(t, n)
	const words = "of part pages"
	r := n.Do(t, harness.Command{Program: "ctr-ateom", Args: []string{"tasks", "resume", s.ID}})
	if r.Code != 0 {
		wantWords(t, strings.ReplaceAll(r.Stderr, "\n", " "), "it is paused again", id, "chunk ", words)
		s.WantState(t, client.Paused)
	}
	harness.Eventually(t, func() error {
		if log := harness.ReadFile(t, n.LogPath()); !strings.Contains(log, words) {
			return fmt.Errorf("the node's log does not tell:\n%s", n.LastLog())
		}
		return nil
	})
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
