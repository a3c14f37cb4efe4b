// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/runsc"
	"github.com/ateom/ateom/shim/config"
)

// newBuild writes a runsc of that version and returns where it is and which.
func (b *bench) newBuild(t *testing.T, path, version string) runsc.Identity {
	t.Helper()
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho 'runsc version "+version+"'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	id, err := b.sb.identify(t.Context(), path)
	if err != nil || id.Version != version {
		t.Fatalf("identify = %+v, %v", id, err)
	}
	return id
}

func TestBuildsAreFoundByTheirChecksum(t *testing.T) {
	b := newBench(t)
	dir := t.TempDir()
	old, later, gone := filepath.Join(dir, "old"), filepath.Join(dir, "later"), filepath.Join(dir, "gone")
	oldID, laterID, goneID := b.newBuild(t, old, "1"), b.newBuild(t, later, "2"), b.newBuild(t, gone, "3")
	own, err := b.sb.madeBy(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b.sb.cfg.RunscBuilds = []config.RunscBuild{{Path: old, SHA256: oldID.SHA256}}
	cfg := *b.sb.cfg
	b.sb.reload = func() (*config.Config, error) { return &cfg, nil }
	// What an operator adds while the sandbox sleeps is found too.
	cfg.RunscBuilds = []config.RunscBuild{{Path: later, SHA256: laterID.SHA256}, {Path: old, SHA256: goneID.SHA256}}
	for path, id := range map[string]runsc.Identity{b.sb.runsc.Binary: own, old: oldID, later: laterID} {
		if got, err := b.sb.findBuild(t.Context(), id); err != nil || got != path {
			t.Errorf("findBuild(%s) = %s, %v, want %s", id.Version, got, err, path)
		}
	}
	// A path whose content is another than the configuration says is not run.
	if _, err := b.sb.findBuild(t.Context(), goneID); !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), old+" has sha256 "+oldID.SHA256) {
		t.Errorf("findBuild of a build whose file is another = %v", err)
	}
	// What the installer has replaced at the node's place is beside it.
	kept := filepath.Join(dir, "builds", laterID.SHA256, "runsc")
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "bin"), 0o700), os.MkdirAll(filepath.Dir(kept), 0o700), os.Rename(later, kept)); err != nil {
		t.Fatal(err)
	}
	cfg.Runsc, cfg.RunscBuilds = filepath.Join(dir, "bin", "runsc"), nil
	b.newBuild(t, cfg.Runsc, "4")
	if got, err := b.sb.findBuild(t.Context(), laterID); err != nil || got != kept {
		t.Errorf("findBuild of what the installer has kept = %s, %v, want %s", got, err, kept)
	}
	// A manifest may come from anybody: nothing is run that it leads to.
	ran := filepath.Join(dir, "ran")
	if err := os.WriteFile(filepath.Join(dir, "runsc"), []byte("#!/bin/sh\ntouch "+ran+"\necho 'runsc version 5'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if got, err := b.sb.findBuild(t.Context(), runsc.Identity{Version: "5", SHA256: ".."}); err == nil {
		t.Errorf("findBuild of \"..\" = %s", got)
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("a checksum that is none has led to a program")
	}
	_, err = b.sb.findBuild(t.Context(), goneID)
	var missing *BuildError
	if !errors.As(err, &missing) || !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "runsc 3 (sha256 "+goneID.SHA256+")") {
		t.Errorf("findBuild of a build that is not there = %v", err)
	}
	if err := b.sb.useBuild(t.Context(), oldID); err != nil || b.sb.runsc.Binary != old {
		t.Errorf("useBuild = %v, runsc is %s", err, b.sb.runsc.Binary)
	}
	if id, err := b.sb.madeBy(t.Context()); err != nil || id != oldID {
		t.Errorf("madeBy = %+v, %v", id, err)
	}
}

// Each build's sentry comes with it; the side-car is the node's.
func TestSidecarsFollowTheBuild(t *testing.T) {
	b := newBench(t)
	dir := t.TempDir()
	for _, path := range []string{"here/gvisor-bin/checkpointgofer", "here/gvisor-bin/gvisor_sentry", "old/gvisor-bin/gvisor_sentry", "bare/runsc"} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(path)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, path), []byte(path), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	sidecar := filepath.Join(dir, "here/gvisor-bin/checkpointgofer")
	for build, sentry := range map[string]string{"here": "here/gvisor-bin/gvisor_sentry", "old": "old/gvisor-bin/gvisor_sentry", "bare": ""} {
		b.sb.runsc.Binary = filepath.Join(dir, build, "runsc")
		for range 2 {
			got, err := b.sb.sidecars(sidecar)
			if err != nil {
				t.Fatal(err)
			}
			if text, err := os.ReadFile(filepath.Join(got, "checkpointgofer")); err != nil || string(text) != "here/gvisor-bin/checkpointgofer" {
				t.Errorf("%s: side-car %s, %v", build, text, err)
			}
			if text, err := os.ReadFile(filepath.Join(got, "gvisor_sentry")); string(text) != sentry || (err != nil) != (sentry == "") {
				t.Errorf("%s: sentry %q, %v, want %q", build, text, err, sentry)
			}
		}
	}
}
