// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/shim/config"
)

// A smallDisk is a file system of its own, of which a test says how much is free.
type smallDisk struct {
	dir  string
	fill *os.File // takes what is not free
}

// diskSize is room for four of the snapshots that the tests make.
const diskSize = 512 << 20

// mount makes a file system and mounts it until the test ends.
func mount(t *testing.T, kind string) *smallDisk {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	switch kind {
	case "tmpfs":
		must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=512m"))
	case "ext4":
		image := dir + ".img"
		must(t, os.WriteFile(image, nil, 0o600))
		must(t, os.Truncate(image, diskSize))
		for _, args := range [][]string{{"mkfs.ext4", "-q", "-m", "0", image}, {"mount", "-o", "loop", image, dir}} {
			if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
				t.Fatalf("%q: %v: %s", args, err, out)
			}
		}
	}
	fill, err := os.Create(filepath.Join(dir, "fill"))
	must(t, err)
	t.Cleanup(func() {
		fill.Close()
		must(t, unix.Unmount(dir, 0))
	})
	return &smallDisk{dir, fill}
}

// free is how many bytes are free.
func (d *smallDisk) free(t *testing.T) int64 {
	t.Helper()
	var st unix.Statfs_t
	must(t, unix.Statfs(d.dir, &st))
	return int64(st.Bavail) * st.Bsize
}

// slack is what a file system may take for its own, or give back later.
const slack = 1 << 20

// leave fills the disk but for a number of bytes.
func (d *smallDisk) leave(t *testing.T, bytes int64) {
	t.Helper()
	d.clear(t)
	// What the file itself is described by takes space too.
	for take := d.free(t) - bytes; take > 0; take -= 16 << 10 {
		if err := unix.Fallocate(int(d.fill.Fd()), 0, 0, take); err != unix.ENOSPC {
			must(t, err)
			return
		}
	}
}

// clear gives all space back.
func (d *smallDisk) clear(t *testing.T) {
	t.Helper()
	must(t, d.fill.Truncate(0))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantAdvice fails the test unless an error says that the disk of a directory is full,
// and what to do.
func wantAdvice(t *testing.T, message, dir string) {
	t.Helper()
	for _, want := range []string{"no space left on device", "free space on the disk of " + dir, "ctr-ateom snapshots gc"} {
		if !strings.Contains(message, want) {
			t.Errorf("no %q in %q", want, message)
		}
	}
}

// The disk is full at every tenth of a Pause: the task runs on, what was saved before
// is there and nothing of what was not, and the error says what to do. Once
// there is room, the Pause works; and what sleeps wakes up on a disk that is full.
func TestAPauseOnAFullDiskChangesNothing(t *testing.T) {
	for _, c := range []struct {
		kind string
		io   config.CheckpointIO
	}{{"ext4", config.Gofer}, {"ext4", config.Files}, {"tmpfs", config.Gofer}} {
		t.Run(c.kind+", "+string(c.io), func(t *testing.T) {
			t.Parallel()
			disk := mount(t, c.kind)
			n := harness.NewNode(t, harness.Config{Config: config.Config{StateDir: filepath.Join(disk.dir, "lib"), CheckpointIO: c.io}})
			s := n.RunService(t, harness.ServiceContainer(harness.NewNetwork(t), 32, map[string]string{
				"ateom.dev/durable-dirs": `[{"name":"home","mountPath":"/home/agent"}]`,
			}, "/home/agent"))
			before := disk.free(t)
			saved := sleep(t, s)
			need := before - disk.free(t)
			n.Ateom(t, "tasks", "resume", s.ID)
			s.WantSame(t, s.Last())

			for tenth := range int64(10) {
				disk.leave(t, need*tenth/10)
				room := disk.free(t)
				err := s.Pause(n.Context(t))
				if err == nil {
					t.Fatalf("with %d/10 of %d bytes the pause succeeds", tenth, need)
				}
				wantAdvice(t, err.Error(), n.Config.StateDir)
				s.WantState(t, client.Running)
				s.WantSame(t, s.Last())
				wantSnapshots(t, n, saved)
				if now := disk.free(t); now < room-slack {
					t.Errorf("at %d/10 the pause has left %d bytes", tenth, room-now)
				}
			}
			n.Ateom(t, "snapshots", "verify", "--deep", "--store", "local", saved)
			r := n.Do(t, harness.Command{Program: ours, Args: []string{"tasks", "commit", "--scope", "Full", s.ID}})
			if r.Code == 0 {
				t.Error("a commit captures more than there is room for")
			}
			wantAdvice(t, r.Stderr, n.Config.StateDir)
			s.WantState(t, client.Running)

			disk.clear(t)
			saved = sleep(t, s)
			wantSnapshots(t, n, saved)
			disk.leave(t, 0)
			n.Ateom(t, "tasks", "resume", s.ID)
			wantGoesOn(t, s, s.Last())
			s.WantNumbers(t, 0)
			disk.clear(t)
		})
	}
}

// wantSnapshots fails the test unless one snapshot is on the node.
func wantSnapshots(t *testing.T, n *harness.Node, id string) {
	t.Helper()
	for pattern, want := range map[string][]string{"drafts/*": nil, "snapshots/*": {filepath.Join(n.Config.StateDir, "snapshots", id)}} {
		found, err := filepath.Glob(filepath.Join(n.Config.StateDir, pattern))
		if err != nil || !slices.Equal(found, want) {
			t.Errorf("%s: %q (%v), want %q", pattern, found, err, want)
		}
	}
}

// The disk of a node that a snapshot is started on is full, more or less. It starts
// all the same, what does not fit being fetched again when it is needed; or it
// does not, says why, and leaves nothing.
func TestAStartOnAFullDiskWorksOrSaysWhy(t *testing.T) {
	first, spec := start(t)
	store := first.Node.Config.Stores["dir"]
	first.Node.Ctr(t, "tasks", "exec", "--exec-id", "fill", first.ID, "dd", "if=/dev/urandom", "of=/home/agent/ballast", "bs=1M", "count=16")
	sum := first.Node.Ctr(t, "tasks", "exec", "--exec-id", "sum", first.ID, "sha256sum", "/home/agent/ballast")
	last := first.Last()
	id := snapshotOf(t, first.Node.Ateom(t, "tasks", "commit", "--json", "--scope", "Full", first.ID))
	first.Remove(t)

	disk := mount(t, "ext4")
	n := harness.NewNode(t, harness.Config{Config: config.Config{
		StateDir: filepath.Join(disk.dir, "lib"), DefaultStore: "dir", Stores: map[string]config.Store{"dir": store},
	}})
	n.Want(t, spec.Image)
	spec.Annotations = maps.Clone(spec.Annotations)
	maps.Copy(spec.Annotations, map[string]string{"ateom.dev/restore-from": id, "ateom.dev/store": "dir"})
	var failed, worked int
	for _, mib := range []int64{256, 48, 24, 15, 8, 1, 0, 256} {
		must(t, os.RemoveAll(filepath.Join(n.Config.StateDir, "cache")))
		disk.leave(t, mib<<20)
		room := disk.free(t)
		task, err := n.TryRun(t, spec)
		if err != nil {
			failed++
			t.Logf("%d MiB: %v", mib, err)
			wantAdvice(t, err.Error(), n.Config.StateDir)
		} else {
			worked++
			t.Logf("%d MiB: it starts", mib)
			s := n.Serve(task, spec.Network)
			wantGoesOn(t, s, last)
			if got := n.Ctr(t, "tasks", "exec", "--exec-id", "sum", s.ID, "sha256sum", "/home/agent/ballast"); got != sum {
				t.Errorf("the DurableDir's file is %s, want %s", got, sum)
			}
		}
		task.Remove(t)
		for _, pattern := range []string{"drafts/*", "volumes/*/*"} {
			if left, err := filepath.Glob(filepath.Join(n.Config.StateDir, pattern)); err != nil || len(left) > 0 {
				t.Errorf("with %d MiB: left %q (%v)", mib, left, err)
			}
		}
		must(t, os.RemoveAll(filepath.Join(n.Config.StateDir, "cache")))
		if now := disk.free(t); now < room-slack {
			t.Errorf("with %d MiB: %d bytes were not given back", mib, room-now)
		}
	}
	if failed == 0 || worked == 0 {
		t.Errorf("%d starts failed and %d worked, want some of each", failed, worked)
	}
}
