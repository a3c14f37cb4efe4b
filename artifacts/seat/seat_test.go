// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
)

// sameMemory fails the test unless after is what a guest that remembers says
// one question after before.
func sameMemory(t testing.TB, before, after answer) {
	t.Helper()
	before.Counter++
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("what the guest remembers (-before +after):\n%s", diff)
	}
}

func TestSandboxRemembersAcrossSaveAndRestore(t *testing.T) {
	s := newSandbox(t, "-random=24", "-zeroed=16")
	s.start()
	before := s.ask("touch")
	draft, err := s.save()
	if err != nil {
		t.Fatal(err)
	}
	s.delete()
	statusFile := filepath.Join(t.TempDir(), "status")
	if err := s.restore(job.Seat{Version: job.SeatVersion, Mode: job.Restore, Dir: draft, Status: statusFile}); err != nil {
		t.Fatal(err)
	}
	sameMemory(t, before, s.ask("sum"))

	st := readStatus(t, statusFile)
	if st.Error != "" {
		t.Errorf("status has error %q", st.Error)
	}
	if st.Total == 0 || st.Moved+st.Zero != st.Total || st.Asked != st.Total {
		t.Errorf("of %d bytes %d were asked for and %d moved", st.Total, st.Asked, st.Moved+st.Zero)
	}
	parts := []string{artifacts.PartKernel, artifacts.PartPages, artifacts.PartPagesMeta}
	if diff := cmp.Diff(parts, slices.Sorted(slices.Values(st.Parts))); diff != "" {
		t.Errorf("parts served (-want +got):\n%s", diff)
	}
}

func TestPlainRunscRestoresWhatTheSeatSaved(t *testing.T) {
	s := newSandbox(t)
	s.start()
	before := s.ask("touch")
	draft, err := s.save()
	if err != nil {
		t.Fatal(err)
	}
	s.delete()
	if err := s.restoreFrom(filepath.Join(draft, "image")); err != nil {
		t.Fatal(err)
	}
	sameMemory(t, before, s.ask("sum"))
}

func TestSaveDescribesItsParts(t *testing.T) {
	s := newSandbox(t)
	s.start()
	s.ask("touch")
	draft, err := s.save()
	if err != nil {
		t.Fatal(err)
	}
	for name, part := range map[string]string{
		"checkpoint.img": artifacts.PartKernel,
		"pages_meta.img": artifacts.PartPagesMeta,
		"pages.img":      artifacts.PartPages,
	} {
		body, err := os.ReadFile(filepath.Join(draft, "parts", part+".json"))
		must(t, err)
		var desc artifacts.Part
		must(t, json.Unmarshal(body, &desc))
		fi, err := os.Stat(filepath.Join(draft, "image", name))
		must(t, err)
		if desc.Name != part || desc.Encoding != artifacts.Raw || desc.Size != fi.Size() || desc.Digest.IsZero() {
			t.Errorf("%s of %d bytes is described as %+v", name, fi.Size(), desc)
		}
		if fi.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, fi.Mode())
		}
	}
}

func TestSandboxKeepsRunningWhenTheDiskIsFull(t *testing.T) {
	s := newSandbox(t, "-random=32")
	s.start()
	before := s.ask("sum")
	full := t.TempDir()
	must(t, unix.Mount("tmpfs", full, "tmpfs", 0, "size=8m,mode=0700"))
	t.Cleanup(func() { must(t, unix.Unmount(full, 0)) })
	statusFile := filepath.Join(t.TempDir(), "status")
	s.mustRun("pause", s.id)
	if err := s.checkpoint(job.Seat{Version: job.SeatVersion, Mode: job.Save, Dir: full, Status: statusFile}); err == nil {
		t.Error("the save succeeded")
	}
	if st := readStatus(t, statusFile); st.Code != "resource_exhausted" {
		t.Errorf("status has code %q: %s", st.Code, st.Error)
	}
	if exists(t, filepath.Join(full, "parts", artifacts.PartPages+".json")) {
		t.Error("the part that did not fit is described as whole")
	}
	s.mustRun("resume", s.id)
	sameMemory(t, before, s.ask("sum"))
}
