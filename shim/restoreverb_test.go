// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/durabledir"
)

// createWith creates a container of the pod that mounts a volume of it.
func (b *bench) createWith(t *testing.T, id, volume string) error {
	t.Helper()
	bundle, source := t.TempDir(), filepath.Join(t.TempDir(), "kubernetes.io~empty-dir", volume)
	if err := os.MkdirAll(source, 0o700); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(&specs.Spec{
		Process: &specs.Process{Args: []string{"x"}}, Root: &specs.Root{Path: t.TempDir()},
		Annotations: map[string]string{durabledir.VolumesAnnotation: volume},
		Mounts:      []specs.Mount{{Destination: "/" + volume, Type: "bind", Source: source}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = b.Create(t.Context(), &taskapi.CreateTaskRequest{ID: id, Bundle: bundle})
	return err
}

// A pod that starts from a snapshot of volumes is one Restore, from the first
// request to the Start of the container that had the last of them: what was
// fetched is in it, and the time in which nobody asked for anything.
func TestAPodsRestoreIsOneVerb(t *testing.T) {
	b := newBench(t)
	f := b.withRuntime(t)
	b.fromVolumes(t)
	if err := f.boot(1, 0); err != nil {
		t.Fatal(err)
	}
	b.sb.newLife(f.running().pid)
	start := func(id string) {
		t.Helper()
		if _, err := b.Start(t.Context(), &taskapi.StartRequest{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	start("box")
	if err := b.createWith(t, "first", "home"); err != nil {
		t.Fatal(err)
	}
	start("first")
	if all := b.noted(t); len(all) > 0 {
		t.Fatalf("a volume is still to come, and the journal says %+v", all[0])
	}
	f.failing(func(call string) bool { return call == "gofer "+string(job.Bring) })
	if err := b.createWith(t, "second", "work"); !errdefs.IsUnavailable(err) {
		t.Fatalf("the store does not answer: %v", err)
	}
	f.failing(func(string) bool { return false })
	if err := b.createWith(t, "second", "work"); err != nil {
		t.Fatal(err)
	}
	start("second")
	verbs := b.noted(t)
	if len(verbs) != 2 {
		t.Fatalf("the journal has %d verbs, want one that failed and one that went well", len(verbs))
	}
	for i, want := range []struct{ cause, phases string }{
		{"unavailable", "start between prepare fetch create between start between prepare failed"},
		{"", "prepare fetch create between start"},
	} {
		e := verbs[i]
		var phases []string
		for _, p := range e.Phases {
			phases = append(phases, p.Name)
		}
		if diff := cmp.Diff(want.phases, strings.Join(phases, " ")); diff != "" {
			t.Errorf("phases of verb %d (-want +got):\n%s", i, diff)
		}
		if e.Verb != "Restore" || e.Cause != want.cause || e.Scope != "Data" || e.Snapshot != string(b.sb.origin.manifest.ID) {
			t.Errorf("the journal says %+v, want a Restore with cause %q", e, want.cause)
		}
		if took := time.Since(began); e.Took() > took || e.Start.Before(began) {
			t.Errorf("it took %s from %s on, and all of this test %s from %s on", e.Took(), e.Start, took, began)
		}
	}
	if b.sb.progress != nil {
		t.Errorf("Status tells of the progress of a fetch that has ended: %v", b.sb.progress)
	}
	// A container that comes later is no Restore.
	if _, err := b.Create(t.Context(), &taskapi.CreateTaskRequest{ID: "third", Bundle: newThirdBundle(t)}); err != nil {
		t.Fatal(err)
	}
	start("third")
	if all := b.noted(t); len(all) != 2 {
		t.Errorf("the journal has %d verbs by now", len(all))
	}
}

// What came while the request before was served has waited for nobody.
func TestARestoreHasNoPhaseOfLessThanNothing(t *testing.T) {
	w, next := newStopwatch(t.Context()), newStopwatch(t.Context())
	next.traceParent = "00-aa-bb-01"
	w.last = next.start.Add(time.Second)
	before := w.last
	w.join(next)
	if len(w.phases) > 0 || !w.last.Equal(before) || w.traceParent != next.traceParent {
		t.Errorf("phases %v, last %s, trace %q", w.phases, w.last, w.traceParent)
	}
	next.start = w.last.Add(3 * time.Second)
	w.join(next)
	if len(w.phases) != 1 || w.phases[0].GetNanos() != (3*time.Second).Nanoseconds() {
		t.Errorf("phases %v, want 3 s between", w.phases)
	}
}
