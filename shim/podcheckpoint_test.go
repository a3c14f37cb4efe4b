// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/errdefs"
)

func TestCheckpointPodRefusesBeforeItTouchesAnything(t *testing.T) {
	b := newBench(t)
	f := b.withRuntime(t)
	b.runs(t, f)
	dir, full := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	good := PodCheckpoint{Sandbox: "box", OutputPath: dir, Containers: []string{"other"}}
	for name, change := range map[string]func(*PodCheckpoint){
		"no such sandbox":         func(r *PodCheckpoint) { r.Sandbox = "nobody" },
		"a container for sandbox": func(r *PodCheckpoint) { r.Sandbox = "other" },
		"an option":               func(r *PodCheckpoint) { r.Options = map[string]string{"fast": "yes"} },
		"no containers":           func(r *PodCheckpoint) { r.Containers = nil },
		"a container twice":       func(r *PodCheckpoint) { r.Containers = []string{"other", "other"} },
		"another pod's container": func(r *PodCheckpoint) { r.Containers = []string{"other", "third"} },
		"the sandbox's own":       func(r *PodCheckpoint) { r.Containers = []string{"other", "box"} },
		"a relative path":         func(r *PodCheckpoint) { r.OutputPath = "x" },
		"no directory":            func(r *PodCheckpoint) { r.OutputPath = filepath.Join(dir, "x") },
		"a directory in use":      func(r *PodCheckpoint) { r.OutputPath = full },
	} {
		r := good
		change(&r)
		if err := b.CheckpointPod(t.Context(), &r); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	if f.running().frozenNow() != 0 {
		t.Error("the sandbox is frozen")
	}
	if _, err := os.Stat(filepath.Join(full, "x")); err != nil {
		t.Errorf("what was in the directory: %v", err)
	}
}

func TestCheckpointPodNeverLeavesAFrozenPodOrAPartialCheckpoint(t *testing.T) {
	// The fake runtime complains of a sandbox that is saved without being frozen.
	for _, fails := range []string{"", "gofer commit", "gofer capture", "gofer upload"} {
		b := newBench(t)
		f := b.withRuntime(t)
		b.runs(t, f)
		dir := t.TempDir()
		f.fails = func(call string) bool {
			if call == "gofer upload" { // what a gofer has written by then
				if err := os.WriteFile(filepath.Join(dir, "partial"), nil, 0o600); err != nil {
					t.Error(err)
				}
			}
			return call == fails
		}
		err := b.CheckpointPod(t.Context(), &PodCheckpoint{Sandbox: "box", OutputPath: dir, Containers: []string{"other"}})
		if (err != nil) != (fails != "") {
			t.Errorf("with %q failing: %v", fails, err)
		}
		if n := f.running().frozenNow(); n != 0 {
			t.Errorf("with %q failing the pod is frozen", fails)
		}
		if state := b.sb.machine.state(); state != Running {
			t.Errorf("with %q failing the pod is %s", fails, state)
		}
		left, readErr := os.ReadDir(dir)
		if readErr != nil {
			t.Fatalf("the caller's directory: %v", readErr)
		}
		if fails != "" && len(left) > 0 {
			t.Errorf("with %q failing there is left: %v", fails, left)
		}
	}
}

// frozenNow is how often the sandbox was frozen and not thawed.
func (k *containerManager) frozenNow() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.frozen
}

// A pod that sleeps is not woken, and nothing of it is frozen.
func TestCheckpointPodLetsAPausedPodSleepOn(t *testing.T) {
	for _, fails := range []string{"", "gofer capture", "gofer upload"} {
		b := newBench(t)
		f := b.withRuntime(t)
		b.runs(t, f)
		if _, err := b.Pause(t.Context(), &taskapi.PauseRequest{ID: "box"}); err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		f.failing(func(call string) bool {
			if call == "gofer upload" { // what a gofer has written by then
				if err := os.WriteFile(filepath.Join(dir, "partial"), nil, 0o600); err != nil {
					t.Error(err)
				}
			}
			return call == fails
		})
		err := b.CheckpointPod(t.Context(), &PodCheckpoint{Sandbox: "box", OutputPath: dir, Containers: []string{"other"}})
		if (err != nil) != (fails != "") {
			t.Errorf("with %q failing: %v", fails, err)
		}
		if state := b.sb.machine.state(); state != Paused {
			t.Errorf("with %q failing the pod is %s", fails, state)
		}
		left, readErr := os.ReadDir(dir)
		if readErr != nil {
			t.Fatalf("the caller's directory: %v", readErr)
		}
		if fails != "" && len(left) > 0 {
			t.Errorf("with %q failing there is left: %v", fails, left)
		}
		if fails == "" && (f.uploadedTo != fileURL(dir) || len(f.store) != 1) {
			t.Errorf("the checkpoint went to %q, %d times; want %s, once", f.uploadedTo, len(f.store), fileURL(dir))
		}
	}
}

// Containers may come and go until the pod is frozen: a checkpoint holds those
// that were asked for, or there is none.
func TestCheckpointPodRefusesAContainerThatStartsMeanwhile(t *testing.T) {
	b := newBench(t)
	f := b.withRuntime(t)
	b.runs(t, f)
	dir := t.TempDir()
	release := f.stop("gofer commit") // before the capture
	done := make(chan error, 1)
	go func() {
		done <- b.CheckpointPod(t.Context(), &PodCheckpoint{Sandbox: "box", OutputPath: dir, Containers: []string{"other"}})
	}()
	f.await("gofer commit")
	b.addContainer(t, "third")
	release()
	if err := <-done; !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "third") {
		t.Errorf("%v, want the third container named", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 || len(f.store) > 0 || f.running().frozenNow() != 0 {
		t.Errorf("left: %v, %v; %d snapshots, frozen %d times", left, err, len(f.store), f.running().frozenNow())
	}
}
