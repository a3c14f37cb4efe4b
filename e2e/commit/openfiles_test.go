// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package commit

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ateom/ateom/e2e/harness"
)

// startChurning runs the guest, which keeps files open that were renamed, replaced
// and deleted, and changes others all the time.
func startChurning(t *testing.T, n *harness.Node, flags ...string) *harness.Task {
	t.Helper()
	mount := fmt.Sprintf("type=bind,src=%s,dst=/guest,options=bind:ro", harness.Guest(t, "./guest"))
	return startScript(t, n, "exec /guest /data", append([]string{"--mount", mount}, flags...)...)
}

// wantOpen fails the test unless the guest is in the same life and every file that
// it holds open has what was written to it.
func wantOpen(t *testing.T, before line, task *harness.Task) (now line) {
	t.Helper()
	now = next(t, task)
	if now.root != "ok" {
		t.Fatalf("the open file %q lacks what was written to it", now.root)
	}
	if now.nonce != before.nonce || now.count <= before.count {
		t.Errorf("the program says %+v; that is no later moment of the life that said %+v", now, before)
	}
	return now
}

func TestFilesThatWereRenamedReplacedAndDeletedStayOpen(t *testing.T) {
	a, b := twoNodes(t, "")
	task := startChurning(t, a)
	before := wantOpen(t, line{nonce: next(t, task).nonce}, task)
	if before.data != "same" {
		t.Errorf("a link to an open file is %q, want the same file", before.data)
	}

	fromRunning := commit(t, task, "--scope", "Full")
	if now := wantOpen(t, before, task); now.data != "same" {
		t.Errorf("after a commit the link is %q, want the same file", now.data)
	}
	a.Ctr(t, "tasks", "pause", task.ID)
	fromPaused := commit(t, task, "--scope", "Full")
	data := commit(t, task, "--scope", "Data")
	a.Ctr(t, "tasks", "resume", task.ID)
	// What has no name is in memory alone, and comes back as a file of its own.
	if now := wantOpen(t, before, task); now.data != "apart" {
		t.Errorf("after a resume the link is %q", now.data)
	}
	for _, id := range []string{fromRunning, fromPaused} {
		if now := wantOpen(t, before, startChurning(t, b, "--from", id)); now.data != "apart" {
			t.Errorf("on another node the link is %q", now.data)
		}
	}

	woken := startScript(t, b, "sleep 1000", "--from", data)
	want := []string{"churn", "kept", "other name", "renamed since", "replaced"}
	if diff := cmp.Diff(want, namesIn(t, volumeDir(woken, "data"))); diff != "" {
		t.Errorf("a Data snapshot has (-want +got):\n%s", diff)
	}
	if got := harness.ReadFile(t, filepath.Join(volumeDir(woken, "data"), "replaced")); got != "new" {
		t.Errorf("the name has %q, want what it was given last", got)
	}
}

// namesIn returns the names in a directory, sorted.
func namesIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
