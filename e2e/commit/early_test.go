// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package commit

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ateom/ateom/e2e/bench/link"
	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/e2e/images"
)

// A sandbox is ready, by its probe, while most of its memory is still in the
// bucket. What it reads of it is right, then and later.
func TestASandboxIsReadyBeforeItsLastByte(t *testing.T) {
	_, wire := wiredS3(t)
	n := harness.NewNode(t, s3At(wire.Addr()))
	n.Want(t, images.Busybox)
	task := start(t, n)
	fill(t, task)
	digest := func(task *harness.Task, id string) string {
		return strings.TrimSpace(task.Node.Ctr(t, "tasks", "exec", "--exec-id", id, task.ID, "md5sum", "/root/ballast"))
	}
	want := digest(task, "before")
	before := next(t, task)
	id := commit(t, task, "--scope", "Full")
	task.Remove(t)

	other := harness.NewNode(t, s3At(wire.Addr())) // whose cache is empty
	other.Want(t, images.Busybox)
	wire.Reshape(link.Shape{PerConnection: 2e6, Total: 8e6}) // 12 s for the ballast
	fetched := wire.Received()
	again := start(t, other, "--from", id,
		"--annotation", `ateom.dev/readiness=[{"exec":{"command":["test","-e","/root/mark"]}}]`)
	fetched = wire.Received() - fetched
	now, err := loading(t, again)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("ready after %d bytes; %+v", fetched, now)
	if fetched > ballast<<20/2 || now.Remaining < ballast<<20/2 || now.Ended {
		t.Errorf("of %d MiB %d bytes had come when it was ready, and its loading is %+v", ballast, fetched, now)
	}
	again.Reload(t)
	wantSameLife(t, before, next(t, again))
	wire.Reshape(link.Shape{})
	if got := digest(again, "early"); got != want {
		t.Errorf("while it is loaded the ballast is %q, want %q", got, want)
	}
	harness.Eventually(t, func() error {
		now, err := loading(t, again)
		if err == nil && !(now.Ended && now.Remaining == 0 && now.Loaded > 0) {
			err = fmt.Errorf("loading goes on: %+v", now)
		}
		return err
	})
	if got := digest(again, "late"); got != want {
		t.Errorf("once it is loaded the ballast is %q, want %q", got, want)
	}
}

// A progress is what a sandbox's status tells of its loading, in bytes.
type progress struct {
	Remaining, Loaded int64
	Ended             bool
}

func loading(t *testing.T, task *harness.Task) (progress, error) {
	t.Helper()
	var s struct{ Loading *progress }
	out := task.Node.Ateom(t, "tasks", "status", "--json", task.ID)
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		return progress{}, fmt.Errorf("decode status %q: %w", out, err)
	}
	if s.Loading == nil {
		return progress{}, errors.New("its status tells of no loading")
	}
	return *s.Loading, nil
}
