// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/artifacts/local"
)

// newSavedDraft makes a draft as a gofer leaves it that has saved everything:
// files of 8 bytes and a note of each part.
func newSavedDraft(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, d := range []string{local.ImageDir(dir), filepath.Join(dir, "parts")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range local.ImageParts() {
		path, err := local.ImagePath(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		note, err := json.Marshal(artifacts.Part{Name: name, Size: 8})
		if err != nil {
			t.Fatal(err)
		}
		for path, text := range map[string][]byte{path: []byte("12345678"), filepath.Join(dir, "parts", name+".json"): note} {
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

func TestReadPartsBelievesWholeFilesOnly(t *testing.T) {
	dir := newSavedDraft(t)
	parts, err := readParts(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range parts {
		names = append(names, p.Name)
	}
	if diff := cmp.Diff(local.ImageParts(), names); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
	if _, err := os.Stat(filepath.Join(dir, "parts")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the notes are still there: %v", err)
	}

	// Whatever is missing or short, the save has failed, even though runsc said
	// that it had not.
	damages := map[string]func(note, file string) error{
		"no note":  func(note, _ string) error { return os.Remove(note) },
		"no file":  func(_, file string) error { return os.Remove(file) },
		"short":    func(_, file string) error { return os.Truncate(file, 7) },
		"too long": func(_, file string) error { return os.Truncate(file, 9) },
	}
	for name, damage := range damages {
		for _, part := range local.ImageParts() {
			dir := newSavedDraft(t)
			file, err := local.ImagePath(dir, part)
			if err != nil {
				t.Fatal(err)
			}
			if err := damage(filepath.Join(dir, "parts", part+".json"), file); err != nil {
				t.Fatal(err)
			}
			if parts, err := readParts(dir); !errdefs.IsDataLoss(err) {
				t.Errorf("%s of %s: readParts = %v, %v, want data loss", name, part, parts, err)
			}
		}
	}
	half := newSavedDraft(t)
	if err := os.WriteFile(filepath.Join(half, "parts", local.ImageParts()[0]+".json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readParts(half); err == nil {
		t.Error("half a note was believed")
	}
}

// withGofer puts a gofer and its side-car name where the sandbox looks.
func (b *bench) withGofer(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range []string{"ateom-gofer", "gvisor-bin/" + job.SeatBinary} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	b.sb.cfg.Gofer = filepath.Join(dir, "ateom-gofer")
	return dir
}

// What a side-car has left that was killed is not in the way of the next one.
func TestSeatIsCleanedUpForTheNext(t *testing.T) {
	b := newBench(t)
	b.withGofer(t)
	left := []string{b.sb.seatStatus(job.Restore), filepath.Join(t.TempDir(), "control")}
	for _, path := range left {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	seat, err := b.sb.takeSeat(&job.Seat{Mode: job.Restore, Dir: "/snapshot", Control: left[1]})
	if err != nil {
		t.Fatal(err)
	}
	defer seat.leave()
	for _, path := range left {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", path, err)
		}
	}
}

func TestSeatTellsTheGoferAndNobodyElse(t *testing.T) {
	b := newBench(t)
	dir := b.withGofer(t)
	seat, err := b.sb.takeSeat(&job.Seat{Mode: job.Save, Dir: "/draft", Store: job.Store{URL: "s3://b", Env: map[string]string{"SECRET": "x"}}})
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "gvisor-bin", job.SeatBinary); seat.binary != want {
		t.Errorf("the side-car is %s, want %s", seat.binary, want)
	}
	path := filepath.Join(seat.dir, job.SeatFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got job.Seat
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if got.Version != job.SeatVersion || got.Status != seat.status || got.Gofer != filepath.Join(dir, "ateom-gofer") || got.Dir != "/draft" {
		t.Errorf("seat = %+v", got)
	}
	for path, want := range map[string]os.FileMode{path: 0o600, seat.dir: 0o700} {
		if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want mode %o", path, fi.Mode(), err, want)
		}
	}
	seat.leave()
	if _, err := os.Stat(seat.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the seat is still there: %v", err)
	}
}

func TestSeatExplainsWhyRunscFailed(t *testing.T) {
	b := newBench(t)
	b.withGofer(t)
	failed := errors.New("runsc checkpoint: exit status 128")
	status := b.sb.seatStatus(job.Save)
	// What an earlier save has left is not this one's reason.
	if err := os.WriteFile(status, []byte(`{"code":"data_loss","error":"of an earlier save"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	seat, err := b.sb.takeSeat(&job.Seat{Mode: job.Save})
	if err != nil {
		t.Fatal(err)
	}
	defer seat.leave()
	if err := seat.explain(nil); err != nil {
		t.Errorf("a success became %v", err)
	}
	if err := seat.explain(failed); err != failed {
		t.Errorf("without a status: %v", err)
	}
	if err := os.WriteFile(status, []byte(`{"code":"failed_precondition","error":"the disk is full"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := seat.explain(failed); !errors.Is(err, failed) || !errdefs.IsFailedPrecondition(err) {
		t.Errorf("explain = %v, want both reasons and the gofer's class", err)
	}
}

func TestSeatWithoutASideCarIsRefused(t *testing.T) {
	b := newBench(t)
	dir := b.withGofer(t)
	if err := os.Remove(filepath.Join(dir, "gvisor-bin", job.SeatBinary)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.sb.takeSeat(&job.Seat{Mode: job.Save}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("takeSeat = %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(b.sb.scratch, "seat-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
