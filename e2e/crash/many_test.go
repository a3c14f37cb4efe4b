// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ateom/ateom/e2e/harness"
)

// endLimit is what Kill and Delete together may take.
const endLimit = 4 * time.Second

// litter fills the DurableDir of a task with so many thousand files.
func litter(t *testing.T, task *harness.Task, thousands int) {
	t.Helper()
	home := filepath.Dir(note(task))
	errs := make(chan error, thousands)
	var all sync.WaitGroup
	for first := range 4 {
		all.Go(func() {
			for i := first; i < thousands; i += 4 {
				errs <- thousand(filepath.Join(home, fmt.Sprint("dir", i)))
			}
		})
	}
	all.Wait()
	close(errs)
	for err := range errs {
		must(t, err)
	}
}

func thousand(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	for i := range 1000 {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}

// removed are the DurableDirs of the node that are on their way out.
func removed(t *testing.T, n *harness.Node) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(n.Config.StateDir, "drafts", "removed-*", "home"))
	must(t, err)
	return found
}

func awaitRemoved(t *testing.T, n *harness.Node) {
	t.Helper()
	harness.Eventually(t, func() error {
		if left, err := os.ReadDir(filepath.Join(n.Config.StateDir, "drafts")); err != nil || len(left) > 0 {
			return fmt.Errorf("not removed: %v, %v", left, err)
		}
		return nil
	})
}

// A task whose DurableDir holds very many files is deleted as fast as any: the files go behind
// the answer. What is made meanwhile, with the same name too, does not see them.
func TestDeleteDoesNotWaitForVeryManyFiles(t *testing.T) {
	t.Parallel()
	n := harness.NewNode(t, harness.Config{})
	task := keep(t, n)
	litter(t, task, 200)
	before := task.Shim(t)
	began := time.Now()
	task.KillAndWait(t, syscall.SIGKILL)
	if _, err := task.Delete(n.Context(t)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > endLimit {
		t.Errorf("Kill and Delete took %s, want at most %s", took, endLimit)
	} else {
		t.Logf("Kill and Delete took %s; on their way are %q", took, removed(t, n))
	}
	if _, err := os.Stat(filepath.Dir(note(task))); !os.IsNotExist(err) {
		t.Errorf("the DurableDir of a deleted task: %v", err)
	}
	must(t, task.Begin(t, keeper))
	harness.Eventually(t, func() error { return wantNote(task) })
	if entries, err := os.ReadDir(filepath.Dir(note(task))); err != nil || len(entries) != 1 {
		t.Errorf("the new task's DurableDir has %d entries, %v", len(entries), err)
	}
	awaitRemoved(t, n)
	harness.Eventually(t, func() error {
		if syscall.Kill(before, 0) == nil {
			return fmt.Errorf("the shim %d of the deleted task is there", before)
		}
		return nil
	})
	task.Remove(t)
	if lost, err := filepath.Glob(filepath.Join(n.Config.StateDir, "lost", "*")); err != nil || len(lost) > 0 {
		t.Errorf("set aside are %q, %v", lost, err)
	}
}

// The shim of a paused sandbox is killed while it removes very many files. The next
// sandbox that is made does not wait for the rest either, and sees to it.
func TestARemovalThatWasCutOffIsFinished(t *testing.T) {
	t.Parallel()
	n := harness.NewNode(t, harness.Config{})
	task := keep(t, n)
	litter(t, task, 60)
	n.Ateom(t, "tasks", "pause", task.ID)
	pid := task.Shim(t)
	began := time.Now()
	task.KillAndWait(t, syscall.SIGKILL)
	answered := make(chan error, 1)
	go func() {
		_, err := task.Delete(n.Context(t))
		answered <- err
	}()
	harness.Eventually(t, func() error {
		if len(removed(t, n)) == 0 {
			return fmt.Errorf("nothing is on its way out")
		}
		return nil
	})
	must(t, syscall.Kill(pid, syscall.SIGKILL))
	if err := <-answered; err != nil {
		t.Logf("Delete: %v", err) // its shim was killed under it
	}
	if took := time.Since(began); took > endLimit {
		t.Errorf("Kill and Delete took %s, want at most %s", took, endLimit)
	}
	harness.Eventually(t, func() error { return nothingOf(t, task) })
	task.Remove(t)
	if left := removed(t, n); len(left) != 1 {
		t.Fatalf("on their way out are %q, want what the shim was at when it was killed", left)
	}

	next := n.Create(t, keeper)
	began = time.Now()
	must(t, next.Make(t, keeper))
	t.Logf("the next sandbox was made in %s; on their way are %q", time.Since(began), removed(t, n))
	awaitRemoved(t, n)
	if lost, err := filepath.Glob(filepath.Join(n.Config.StateDir, "lost", "*")); err != nil || len(lost) > 0 {
		t.Errorf("set aside are %q, %v", lost, err)
	}
}
