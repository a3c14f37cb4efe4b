// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"os"
	"path/filepath"
	"testing"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"

	"github.com/ateom/ateom/shim/pod"
	"github.com/ateom/ateom/shim/replace"
	"github.com/ateom/ateom/shim/volumes"
)

// asPod makes the bench's sandbox one of a pod, as a shim that starts finds it.
func (b *bench) asPod(t *testing.T) {
	t.Helper()
	b.sb.cri, b.sb.pod = true, pod.Identity{Namespace: "default", Name: "p", UID: "u"}
	var err error
	if b.sb.ledger, err = pod.OpenLedger(b.sb.cfg.StateDir, "u"); err != nil {
		t.Fatal(err)
	}
}

// pausedNote is where the ledger says what the bench's pod sleeps in.
func (b *bench) pausedNote() string { return filepath.Join(b.sb.cfg.StateDir, "pods", "u.paused") }

// A pause is good when the pod's next sandbox would find it, and not before: one
// that the ledger does not take leaves the pod running, and nothing behind.
func TestAPauseThatTheLedgerDoesNotTakeIsNone(t *testing.T) {
	b := newBench(t)
	f := b.withRuntime(t)
	b.runs(t, f)
	b.asPod(t)
	obstacle := b.pausedNote() + replace.Suffix
	if err := os.Mkdir(obstacle, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Pause(t.Context(), &taskapi.PauseRequest{ID: "box"}); err == nil {
		t.Error("the pod is paused, and its next sandbox would not know")
	}
	if state := b.sb.machine.state(); state != Running || f.running().frozenNow() != 0 {
		t.Errorf("the pod is %s, and frozen %d times", state, f.running().frozenNow())
	}
	if left, err := b.sb.local.List(); err != nil || len(left) > 0 {
		t.Errorf("snapshots of no pause: %v, %v", left, err)
	}
	if err := os.Remove(obstacle); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Pause(t.Context(), &taskapi.PauseRequest{ID: "box"}); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(b.pausedNote()); err != nil || string(text) != string(b.sb.paused.Manifest.ID) {
		t.Errorf("the ledger says %q, %v; want %s", text, err, b.sb.paused.Manifest.ID)
	}
}

// When the sandbox goes, the ledger says already what it sleeps in.
func TestThePodsSleepIsNotedBeforeItsSandboxGoes(t *testing.T) {
	b := newBench(t)
	f := b.withRuntime(t)
	b.runs(t, f)
	b.asPod(t)
	f.failing(func(call string) bool {
		if call == "delete" {
			if _, err := os.Stat(b.pausedNote()); err != nil {
				t.Errorf("the sandbox goes: %v", err)
			}
		}
		return false
	})
	if _, err := b.Pause(t.Context(), &taskapi.PauseRequest{ID: "box"}); err != nil {
		t.Fatal(err)
	}
}

// A Resume whose note cannot be removed has failed: after a power cut the pod would
// wake up from its old memory over newer files. What is noted is that it sleeps.
func TestAResumeThatTheLedgerDoesNotTakeIsNone(t *testing.T) {
	b := newBench(t)
	f := b.withRuntime(t)
	b.runs(t, f)
	b.asPod(t)
	if err := os.MkdirAll(b.sb.volumesDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Pause(t.Context(), &taskapi.PauseRequest{ID: "box"}); err != nil {
		t.Fatal(err)
	}
	id := b.sb.paused.Manifest.ID
	// No file can be removed that is a directory with something in it.
	obstacle := filepath.Join(b.sb.volumesDir, ".paused", "x")
	if err := os.Remove(filepath.Dir(obstacle)); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(obstacle, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Resume(t.Context(), &taskapi.ResumeRequest{ID: "box"}); err == nil {
		t.Error("the pod runs, and its volumes belong to a snapshot")
	}
	if text, err := os.ReadFile(b.pausedNote()); err != nil || string(text) != string(id) || b.sb.machine.state() != Paused {
		t.Errorf("the ledger says %q, %v, the pod is %s", text, err, b.sb.machine.state())
	}
	if err := os.RemoveAll(filepath.Dir(obstacle)); err != nil {
		t.Fatal(err)
	}
	if err := volumes.NotePaused(b.sb.volumesDir, id); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Resume(t.Context(), &taskapi.ResumeRequest{ID: "box"}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(b.pausedNote()); !os.IsNotExist(err) {
		t.Errorf("the pod is awake, its ledger says otherwise: %v", err)
	}
}
