// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package commit

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/ateom/ateom/artifacts/bucket/storetest"
	"github.com/ateom/ateom/artifacts/pack"
	"github.com/ateom/ateom/e2e/bench/link"
	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/e2e/images"
	"github.com/ateom/ateom/shim/config"
)

// ballast is what a program of this test has in memory, in MiB: it does not compress.
const ballast = 96

// fill gives the program its ballast.
func fill(t *testing.T, task *harness.Task) {
	t.Helper()
	task.Node.Ctr(t, "tasks", "exec", "--exec-id", "fill", task.ID, "dd", "if=/dev/urandom", "of=/root/ballast", "bs=1M", fmt.Sprint("count=", ballast))
}

// The gofer is killed in the middle of an upload. Nothing of it is visible, the
// program goes on, and the next commit sends what is missing.
func TestKilledUploadGoesOn(t *testing.T) {
	server, wire := wiredS3(t)
	n := harness.NewNode(t, s3At(wire.Addr()))
	n.Want(t, images.Busybox)
	store, err := bucket.Open(t.Context(), storetest.S3URL("bucket", server))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })

	for _, when := range []string{"running", "paused"} {
		t.Run(when, func(t *testing.T) {
			task := start(t, n)
			fill(t, task)
			before := next(t, task)
			if when == "paused" {
				n.Ctr(t, "tasks", "pause", task.ID)
			}
			empty, snapshotsBefore := packBytes(t, store), len(snapshots(t, n, "s3"))

			killUpload(t, wire, task)
			if got := task.SandboxState(t); got != when {
				t.Errorf("the sandbox is %s, want %s", got, when)
			}
			if got := len(snapshots(t, n, "s3")); got != snapshotsBefore {
				t.Errorf("the store lists %d snapshots, want %d", got, snapshotsBefore)
			}
			there := packBytes(t, store) - empty
			sentBefore := wire.Sent()
			id := commit(t, task, "--scope", "Full")
			again := wire.Sent() - sentBefore
			whole := packBytes(t, store) - empty
			t.Logf("%d of %d bytes were there, and %d were sent", there, whole, again)
			// A few packs may be other ones where the program went on.
			if there < ballast<<20/4 || again > ballast<<20-there+4*pack.Target {
				t.Errorf("%d bytes were there, and %d were sent again", there, again)
			}
			wantSameLife(t, before, next(t, start(t, n, "--from", id)))
		})
	}
}

// wiredS3 starts an S3 server and a wire to it.
func wiredS3(t *testing.T) (server string, wire *link.Link) {
	t.Helper()
	_, server = storetest.S3(t)
	wire, err := link.Listen(server, link.Shape{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { wire.Close() })
	return server, wire
}

// s3At is a node whose one store is a bucket of the server at an address.
func s3At(address string) (c harness.Config) {
	c.DefaultStore = "s3"
	c.Stores = map[string]config.Store{"s3": {URL: storetest.S3URL("bucket", address)}}
	return c
}

// twoNodes are nodes that share nothing but a bucket; how may be empty.
func twoNodes(t *testing.T, how config.CheckpointIO) (a, b *harness.Node) {
	t.Helper()
	_, server := storetest.S3(t)
	c := s3At(server)
	c.CheckpointIO = how
	a, b = harness.NewNode(t, c), harness.NewNode(t, c)
	a.Want(t, images.Busybox)
	b.Want(t, images.Busybox)
	return a, b
}

// killUpload begins a commit and kills the gofer when half of the ballast has
// gone over the wire.
func killUpload(t *testing.T, wire *link.Link, task *harness.Task) {
	t.Helper()
	wire.Reshape(link.Shape{Total: 60e6})
	defer wire.Reshape(link.Shape{})
	sent := wire.Sent()
	done := make(chan harness.Result, 1)
	go func() {
		done <- task.Node.Do(t, harness.Command{Program: "ctr-ateom", Args: []string{"tasks", "commit", "--scope", "Full", task.ID}})
	}()
	harness.Eventually(t, func() error {
		if n := wire.Sent() - sent; n < ballast<<20/2 {
			return fmt.Errorf("%d bytes were sent", n)
		}
		return nil
	})
	gofer, err := harness.Program("ateom-gofer")
	if err != nil {
		t.Fatal(err)
	}
	killed := harness.Find(t, func(args string) bool { return strings.HasPrefix(args, gofer+" job") })
	for _, pid := range killed {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	}
	r := <-done
	if len(killed) != 1 || r.Code == 0 || !strings.Contains(r.Stderr, "gofer") {
		t.Fatalf("killed %v; commit ended with %d and wrote %q", killed, r.Code, r.Stderr)
	}
}

func packBytes(t *testing.T, s bucket.Store) (n int64) {
	t.Helper()
	for info, err := range s.List(t.Context(), artifacts.PacksPrefix) {
		if err != nil {
			t.Fatal(err)
		}
		n += info.Size
	}
	return n
}
