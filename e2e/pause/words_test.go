// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package pause

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/oci"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/local"
	"github.com/ateom/ateom/artifacts/transfer"
	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/shim/config"
)

// secret is in the environment of the tests' containers, and in no error.
const secret = "hush-4711"

// wantWords fails the test unless an error is one line of some KiB at most that
// has all the words, and no secret.
func wantWords(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("the error does not say %q: %s", w, text)
		}
	}
	if text = strings.TrimSpace(text); len(text) > 4<<10 || strings.Contains(text, "\n") || strings.Contains(text, secret) {
		t.Errorf("the error is too long, has several lines or tells a secret (%d bytes): %s", len(text), text)
	}
}

// newSecretive returns a container that has a secret in its environment.
func newSecretive() harness.Container {
	return harness.Container{Args: []string{"sh", "-c", "echo ready; sleep 1000"}, Opts: []oci.SpecOpts{oci.WithEnv([]string{"TOKEN=" + secret})}}
}

// sandboxOf returns the process of the node's one sandbox.
func sandboxOf(t *testing.T, n *harness.Node) (pid int) {
	t.Helper()
	for _, found := range harness.Find(t, func(args string) bool { return strings.HasPrefix(args, "runsc-sandbox") }) {
		if n.Owns(found) {
			pid = found
		}
	}
	if pid == 0 {
		t.Fatal("the node has no sandbox")
	}
	return pid
}

// A sandbox that dies under a verb is said to have, and of what; what its kernel
// said last goes with it.
func TestAVerbTellsHowItsSandboxDied(t *testing.T) {
	const usr2 = "12"
	for _, c := range []struct {
		name   string
		verb   []string
		signal unix.Signal
		words  []string
	}{
		{"a pause of one that is killed", []string{"pause"}, unix.SIGKILL, []string{"was killed by SIGKILL", "sandbox is gone"}},
		{"a commit of one that is killed", []string{"commit", "--scope", "Full"}, unix.SIGKILL, []string{"nothing was published", "was killed by SIGKILL", "sandbox is gone"}},
		{"a pause of one that panics", []string{"pause"}, unix.SIGUSR2, []string{"ended with status 2", "the sandbox's last words", "panic: ", "goroutine "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := harness.NewNode(t, harness.Config{Config: config.Config{RunscFlags: map[string]string{"panic-signal": usr2}}})
			task := n.Run(t, newSecretive())
			task.AwaitLog(t, "ready")
			// Nobody answers while the verb begins.
			pid := sandboxOf(t, n)
			if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			ended := make(chan harness.Result, 1)
			go func() {
				ended <- n.Do(t, harness.Command{Program: "ctr-ateom", Args: append(append([]string{"tasks"}, c.verb...), task.ID)})
			}()
			harness.Eventually(t, func() error {
				if text := n.Ateom(t, "tasks", "status", "--json", task.ID); !strings.Contains(text, `"state": "pausing"`) && !strings.Contains(text, `"state": "committing"`) {
					return fmt.Errorf("the verb has not begun: %s", text)
				}
				return nil
			})
			if err := unix.Kill(pid, c.signal); err != nil {
				t.Fatal(err)
			}
			if err := unix.Kill(pid, unix.SIGCONT); err != nil && c.signal != unix.SIGKILL {
				t.Fatal(err)
			}
			r := <-ended
			if r.Code == 0 || strings.Contains(r.Stderr, "it runs on") {
				t.Errorf("exit code %d", r.Code)
			}
			said, _, _ := strings.Cut(r.Stderr, "\nhint: ")
			wantWords(t, said, append(c.words, fmt.Sprintf("pid %d", pid))...)
			task.AwaitState(t, client.Stopped)
		})
	}
}

// A kernel that panics when nobody asks leaves its words in the node's log.
func TestTheLogTellsOfASandboxThatPanicked(t *testing.T) {
	t.Parallel()
	n := harness.NewNode(t, harness.Config{Config: config.Config{RunscFlags: map[string]string{"panic-signal": "12"}}})
	task := n.Run(t, newSecretive())
	task.AwaitLog(t, "ready")
	exited, err := task.Wait(n.Context(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(sandboxOf(t, n), unix.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	if code := harness.AwaitExit(t, exited); code != 2 {
		t.Errorf("exit code %d, want 2: that of a panic", code)
	}
	log := harness.ReadFile(t, n.LogPath())
	i := strings.Index(log, "the sandbox has died; its last words: ")
	if i < 0 {
		t.Fatalf("the node's log does not tell:\n%s", n.LastLog())
	}
	line, _, _ := strings.Cut(log[i:], "\n")
	wantWords(t, line, "panic: ")
}

// An image that runsc refuses, though it is the one that was saved as far as
// digests can tell, is refused in runsc's words; the sandbox is paused as before.
func TestAResumeThatRunscRefusesSaysWhy(t *testing.T) {
	for _, how := range []config.CheckpointIO{config.Gofer, config.Files} {
		t.Run(string(how), func(t *testing.T) {
			t.Parallel()
			n := harness.NewNode(t, harness.Config{Config: config.Config{CheckpointIO: how}})
			task := n.Run(t, newSecretive())
			task.AwaitLog(t, "ready")
			n.Ateom(t, "tasks", "pause", task.ID)
			dirs, err := filepath.Glob(filepath.Join(n.Config.StateDir, "snapshots", "*"))
			if err != nil || len(dirs) != 1 {
				t.Fatalf("snapshots %q, %v", dirs, err)
			}
			path, err := local.ImagePath(dirs[0], artifacts.PartKernel)
			if err != nil {
				t.Fatal(err)
			}
			good, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			bad := append([]byte(nil), good...)
			for i := len(bad) / 2; i < len(bad)/2+512; i++ {
				bad[i] ^= 0x55
			}
			reseal(t, dirs[0], path, bad)
			r := n.Do(t, harness.Command{Program: "ctr-ateom", Args: []string{"tasks", "resume", task.ID}})
			if r.Code == 0 {
				t.Fatal("it was resumed")
			}
			said, _, _ := strings.Cut(r.Stderr, "\nhint: ")
			wantWords(t, said, "it is paused again", filepath.Base(dirs[0]), "runsc restore: ")
			task.WantState(t, client.Paused)
			reseal(t, dirs[0], path, good)
			n.Ateom(t, "tasks", "resume", task.ID)
			task.WantState(t, client.Running)
		})
	}
}

// reseal replaces the file of a local snapshot's part, and what its manifest
// says of all parts.
func reseal(t *testing.T, dir, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := artifacts.DecodeManifest([]byte(harness.ReadFile(t, local.ManifestPath(dir))))
	if err != nil {
		t.Fatal(err)
	}
	// The old recipe would be believed.
	if err := os.Remove(local.RecipePath(dir, artifacts.PartKernel)); err != nil {
		t.Fatal(err)
	}
	if m.Parts, err = transfer.Seal(t.Context(), dir, nil); err != nil {
		t.Fatal(err)
	}
	manifest, err := artifacts.EncodeManifest(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(local.ManifestPath(dir), manifest, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A program in runsc's place that is another one is named.
func TestARunscThatIsNoneIsNamed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "runsc")
	// A process that is forked meanwhile would hold the file open for writing, and
	// the kernel would not run it.
	syscall.ForkLock.RLock()
	err := os.WriteFile(path, []byte("#!/bin/sh\necho nothing of the kind\n"), 0o755)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	n := harness.NewNode(t, harness.Config{Config: config.Config{Runsc: path}})
	_, err = n.TryRun(t, newSecretive())
	if err == nil {
		t.Fatal("it was started")
	}
	wantWords(t, err.Error(), path, "nothing of the kind")
}
