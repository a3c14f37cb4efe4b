// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package versions

import (
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/client"

	"github.com/ateom/ateom/e2e/harness"
)

// shimName is the shim's program.
const shimName = "containerd-shim-ateom-v1"

// nextVersion is what the newer shim calls itself.
const nextVersion = "v99.0.0-next"

// buildNext builds the shim as a later release and puts it into a directory, over
// the one that is there, as an installer does: by a rename.
func buildNext(t *testing.T, dir string) {
	t.Helper()
	top, err := harness.Top()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, shimName)
	build := osexec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -X github.com/containerd/containerd/v2/version.Version="+nextVersion,
		"-o", path+".new", "./cmd/"+shimName)
	build.Dir, build.Env = top, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the next shim: %v\n%s", err, out)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// version is what a shim says that it is.
func version(t *testing.T, path string) string {
	t.Helper()
	out, err := osexec.Command(path, "-v").CombinedOutput()
	if err != nil {
		t.Fatalf("%s -v: %v\n%s", path, err, out)
	}
	return string(out)
}

// bundle is the directory that containerd keeps for a task.
func bundle(task *harness.Task) string {
	return filepath.Join(task.Node.Dir, "state", "io.containerd.runtime.v2.task", task.Node.Namespace, task.ID)
}

// awaitCleanUp waits until nothing of a task is left but what is durable.
func awaitCleanUp(t *testing.T, task *harness.Task) {
	t.Helper()
	harness.Eventually(t, func() error {
		if _, err := os.Stat(bundle(task)); err == nil {
			return fmt.Errorf("there is a bundle of %s", task.ID)
		}
		for _, dir := range []string{"sandboxes", "runsc"} {
			if left, err := filepath.Glob(filepath.Join(task.Node.Config.RunDir, dir, "*", "*"+task.ID+"*")); err != nil || len(left) > 0 {
				return fmt.Errorf("volatile files are left: %q, %v", left, err)
			}
		}
		if left := task.Processes(t); len(left) > 0 {
			return fmt.Errorf("processes are left: %q", left)
		}
		return nil
	})
}

// pausedIn is the snapshot that the node's one paused sandbox sleeps in.
func pausedIn(t *testing.T, n *harness.Node) (id string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(n.Config.StateDir, "snapshots", "*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("snapshots %q, %v", found, err)
	}
	return filepath.Base(found[0])
}

func sleeper(t *testing.T) harness.Container {
	return harness.ServiceContainer(harness.NewNetwork(t), 8, map[string]string{
		"ateom.dev/durable-dirs": `[{"name":"home","mountPath":"/home/agent"}]`,
	}, "/home/agent")
}

// The shim is replaced under sandboxes: those that are there keep the old one, and
// the new one cleans up after it and wakes up what it has put to sleep.
func TestANewerShimTakesOverFromAnOlderOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	replace(t, filepath.Join(dir, shimName), shimName)
	n := harness.NewNode(t, harness.Config{ShimDir: dir})
	spec := sleeper(t)
	s := n.RunService(t, spec)
	n.Ctr(t, "task", "pause", s.ID)

	before := version(t, filepath.Join(dir, shimName))
	buildNext(t, dir)
	if now := version(t, filepath.Join(dir, shimName)); now == before || !strings.Contains(now, nextVersion) {
		t.Fatalf("the shim called itself %q and calls itself %q", before, now)
	}
	n.Restart(t, syscall.SIGTERM)
	s.Reload(t)
	s.WantState(t, client.Paused)
	n.Ctr(t, "task", "resume", s.ID)
	s.WantSame(t, s.Last())
	n.Ctr(t, "task", "pause", s.ID)
	if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", s.Shim(t))); err != nil || !strings.HasSuffix(exe, shimName+" (deleted)") {
		t.Fatalf("the sandbox's shim is %s, %v, want the one that was replaced", exe, err)
	}

	id := pausedIn(t, n)
	s.KillShim(t)
	awaitCleanUp(t, s.Task)
	if left, err := filepath.Glob(filepath.Join(n.Config.StateDir, "lost", id, "home")); err != nil || len(left) != 1 {
		t.Errorf("DurableDirs that were set aside: %q, %v", left, err)
	}
	woken := n.Wake(t, spec, id, "local", false)
	woken.WantSame(t, s.Last())
	if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", woken.Shim(t))); err != nil || exe != filepath.Join(dir, shimName) {
		t.Errorf("the woken sandbox's shim is %s, %v, want the new one", exe, err)
	}
}

// What a newer shim has noted is not acted upon by an older one that does not
// understand it: nothing is touched, and the log says what to do.
func TestANewerShimsRecordIsLeftAlone(t *testing.T) {
	t.Parallel()
	n := harness.NewNode(t, harness.Config{})
	spec := sleeper(t)
	s := n.RunService(t, spec)
	n.Ctr(t, "task", "pause", s.ID)
	id := pausedIn(t, n)
	path := filepath.Join(bundle(s.Task), "ateom.json")
	record := harness.ReadFile(t, path)
	newer := strings.Replace(record, `"version":1`, `"version":2`, 1)
	if newer == record {
		t.Fatalf("the record has no version: %s", record)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(newer)
	s.KillShim(t)
	const want = "a newer release of ateom has written it (version 2, this one knows up to 1); nothing was touched"
	harness.Eventually(t, func() error {
		if log := harness.ReadFile(t, n.LogPath()); !strings.Contains(log, want) {
			return fmt.Errorf("the node's log does not tell:\n%s", n.LastLog())
		}
		return nil
	})
	for _, pattern := range []string{
		filepath.Join(n.Config.RunDir, "sandboxes", "*", s.ID), filepath.Join(n.Config.StateDir, "volumes", "*", s.ID, "home"),
		filepath.Join(n.Config.StateDir, "snapshots", id, "manifest.json"),
	} {
		if found, err := filepath.Glob(pattern); err != nil || len(found) != 1 {
			t.Errorf("%s: there is %q, %v", pattern, found, err)
		}
	}

	// With a shim that understands it, all is well.
	write(record)
	n.Restart(t, syscall.SIGTERM)
	awaitCleanUp(t, s.Task)
	n.Wake(t, spec, id, "local", false).WantSame(t, s.Last())
}
