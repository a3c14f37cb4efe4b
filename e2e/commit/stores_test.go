// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package commit

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/shim/config"
)

func TestSnapshotsGoOnOnAnotherNode(t *testing.T) {
	w := newWorld(t, config.Gofer)
	for _, store := range slices.Sorted(maps.Keys(w.urls)) {
		t.Run(store+"/Full from a running sandbox", func(t *testing.T) { fullFromRunning(t, w, store) })
		t.Run(store+"/Full from a paused sandbox", func(t *testing.T) { fullFromPaused(t, w, store) })
		t.Run(store+"/Data", func(t *testing.T) { data(t, w, store) })
	}
	t.Run("a bare URL names a store", func(t *testing.T) { fullFromRunning(t, w, w.urls["s3"]) })
	t.Run("stop ends the sandbox", func(t *testing.T) { stop(t, w) })
	t.Run("json", func(t *testing.T) { asJSON(t, w) })
	t.Run("stock ctr commits too", func(t *testing.T) { stockCheckpoint(t, w) })
	t.Run("snapshots are listed, shown and removed", func(t *testing.T) { listing(t, w) })
}

// The fall-back: runsc writes and reads plain files itself.
func TestSnapshotsGoOnOnAnotherNodeThroughPlainFiles(t *testing.T) {
	w := newWorld(t, config.Files)
	for _, store := range []string{"dir", "s3"} {
		t.Run(store+"/Full from a running sandbox", func(t *testing.T) { fullFromRunning(t, w, store) })
		t.Run(store+"/Full from a paused sandbox", func(t *testing.T) { fullFromPaused(t, w, store) })
		t.Run(store+"/Data", func(t *testing.T) { data(t, w, store) })
	}
}

func fullFromRunning(t *testing.T, w *world, store string) {
	task := start(t, w.first)
	before := next(t, task)
	id := commit(t, task, "--scope", "Full", "--store", store)
	if got := task.SandboxState(t); got != "running" {
		t.Errorf("after a commit the sandbox is %s, want running", got)
	}
	wantSameLife(t, before, next(t, task))

	woken := start(t, w.second, "--from", id, "--store", store)
	wantSameLife(t, before, next(t, woken))
	// Two lives from here on: neither knows what the other does.
	wantSameLife(t, before, next(t, task))
}

func fullFromPaused(t *testing.T, w *world, store string) {
	task := start(t, w.first)
	before := next(t, task)
	w.first.Ctr(t, "tasks", "pause", task.ID)
	id := commit(t, task, "--scope", "Full", "--store", store)
	if got := task.SandboxState(t); got != "paused" {
		t.Errorf("after a commit the sandbox is %s, want paused", got)
	}
	if left := task.Processes(t); len(left) > 0 {
		t.Errorf("a commit woke the paused sandbox: %q", left)
	}

	woken := start(t, w.second, "--from", id, "--store", store)
	wantSameLife(t, before, next(t, woken))
	w.first.Ctr(t, "tasks", "resume", task.ID)
	wantSameLife(t, before, next(t, task))
}

func data(t *testing.T, w *world, store string) {
	task := start(t, w.first)
	before := next(t, task)
	id := commit(t, task, "--scope", "Data", "--store", store)
	wantSameLife(t, before, next(t, task))

	woken := next(t, start(t, w.second, "--from", id, "--store", store))
	if woken.data != before.data {
		t.Errorf("the DurableDir's mark is %s, want %s", woken.data, before.data)
	}
	if woken.nonce == before.nonce || woken.root == before.root {
		t.Errorf("a Data snapshot brought memory or rootfs back: %+v after %+v", woken, before)
	}
}

func stop(t *testing.T, w *world) {
	task := start(t, w.first)
	before := next(t, task)
	id := commit(t, task, "--scope", "Full", "--stop")
	harness.Eventually(t, func() error {
		if got := w.first.Ctr(t, "tasks", "ls"); !hasState(got, task.ID, "STOPPED") {
			return &wrongState{task.ID, "STOPPED", got}
		}
		return nil
	})
	wantSameLife(t, before, next(t, start(t, w.second, "--from", id)))
}

func asJSON(t *testing.T, w *world) {
	task := start(t, w.first)
	next(t, task)
	var done struct {
		Snapshot struct{ ID, Scope, Store string }
	}
	out := w.first.Ateom(t, "tasks", "commit", "--json", "--scope", "Data", "--store", "gs", task.ID)
	if err := json.Unmarshal([]byte(out), &done); err != nil {
		t.Fatalf("commit --json wrote %q: %v", out, err)
	}
	if done.Snapshot.ID == "" || done.Snapshot.Scope != "Data" {
		t.Errorf("commit --json wrote %q, want the snapshot's id and scope Data", out)
	}
}

func stockCheckpoint(t *testing.T, w *world) {
	task := start(t, w.first)
	before := next(t, task)
	seen := snapshots(t, w.first, "s3")
	w.first.Ctr(t, "tasks", "checkpoint", "--image-path", w.urls["s3"], task.ID)
	wantSameLife(t, before, next(t, task))

	made := slices.DeleteFunc(snapshots(t, w.first, "s3"), func(id string) bool { return slices.Contains(seen, id) })
	if len(made) != 1 {
		t.Fatalf("ctr task checkpoint made the snapshots %q, want one", made)
	}
	wantSameLife(t, before, next(t, start(t, w.second, "--from", made[0], "--store", "s3")))
}

func listing(t *testing.T, w *world) {
	task := start(t, w.first)
	next(t, task)
	id := commit(t, task, "--scope", "Data", "--store", "gs")
	if all := snapshots(t, w.second, "gs"); !slices.Contains(all, id) {
		t.Errorf("snapshots ls shows %q, want %s among them", all, id)
	}
	if shown := w.second.Ateom(t, "snapshots", "inspect", "--store", "gs", id); !strings.Contains(shown, "durable/data") {
		t.Errorf("snapshots inspect shows no part durable/data:\n%s", shown)
	}
	w.second.Ateom(t, "snapshots", "rm", "--store", "gs", id)
	if all := snapshots(t, w.first, "gs"); slices.Contains(all, id) {
		t.Errorf("snapshots ls shows %s after it was removed", id)
	}
}
