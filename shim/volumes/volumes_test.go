// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package volumes

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ateom/ateom/artifacts"
)

const (
	snap        = artifacts.ID("01jd0000010000000000000000")
	anotherSnap = artifacts.ID("01jd0000020000000000000000")
)

// setAsidePaused sets aside the volumes of a sandbox that was paused in snap.
func setAsidePaused(state, dir string) error {
	if err := NotePaused(dir, snap); err != nil {
		return err
	}
	return SetAside(state, dir)
}

// takeBack is TakeBack, and reports whether there were any, which nobody holds then.
func takeBack(state, dir string, paused artifacts.ID) (bool, error) {
	hold, err := TakeBack(state, dir, paused)
	if hold == nil {
		return false, err
	}
	return true, errors.Join(err, hold.Leave())
}

// fill makes the volumes of a sandbox and returns what they hold by path.
func fill(t *testing.T, dir string) map[string]string {
	t.Helper()
	content := map[string]string{
		"home/notes.txt": "a", "home/.hidden/deep/file": "b", "cache/x": strings.Repeat("c", 1<<16), "empty/": "",
	}
	for name, text := range content {
		path := filepath.Join(dir, name)
		if strings.HasSuffix(name, "/") {
			path = filepath.Join(path, "x")
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "/") {
			continue
		}
		if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	return content
}

// read returns what a directory holds by path, empty directories with a slash.
func read(t *testing.T, dir string) map[string]string {
	t.Helper()
	content := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			entries, err := os.ReadDir(path)
			if len(entries) == 0 {
				content[name+"/"] = ""
			}
			return err
		}
		b, err := os.ReadFile(path)
		content[name] = string(b)
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return content
}

func TestPausedVolumesComeBack(t *testing.T) {
	state := t.TempDir()
	dir := Dir(state, "ns", "box")
	want := fill(t, dir)
	if err := setAsidePaused(state, dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the volumes are still in their place: %v", err)
	}
	// Another sandbox takes them, which lives elsewhere.
	other := Dir(state, "ns2", "box2")
	if found, err := takeBack(state, other, anotherSnap); found || err != nil {
		t.Errorf("TakeBack of another snapshot = %v, %v", found, err)
	}
	for range 2 { // a start that was cut off leaves them to the next
		if err := SetAside(state, other); err != nil {
			t.Fatal(err)
		}
		if found, err := takeBack(state, other, snap); !found || err != nil {
			t.Fatalf("TakeBack = %v, %v", found, err)
		}
	}
	if err := NoteRunning(other); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, read(t, other)); diff != "" {
		t.Errorf("volumes (-want +got):\n%s", diff)
	}
	if found, err := takeBack(state, Dir(state, "ns", "third"), snap); found || err != nil {
		t.Errorf("a second TakeBack = %v, %v, want none", found, err)
	}
}

func TestRunningVolumesAreKept(t *testing.T) {
	state := t.TempDir()
	dir := Dir(state, "ns", "box")
	want := fill(t, dir)
	if err := SetAside(state, dir); err != nil {
		t.Fatal(err)
	}
	lost, err := os.ReadDir(lostDir(state))
	if err != nil || len(lost) != 1 || !strings.HasPrefix(lost[0].Name(), "ns-box-") {
		t.Fatalf("set aside are %v, %v, want one directory named after the sandbox", lost, err)
	}
	if diff := cmp.Diff(want, read(t, filepath.Join(lostDir(state), lost[0].Name()))); diff != "" {
		t.Errorf("volumes (-want +got):\n%s", diff)
	}
	// No snapshot's name is the name of all that was lost.
	if found, err := takeBack(state, Dir(state, "ns", "new"), ""); found || err != nil {
		t.Errorf("TakeBack of no snapshot = %v, %v", found, err)
	}
	if _, err := os.Stat(lostDir(state)); err != nil {
		t.Error(err)
	}
}

func TestNothingToSetAside(t *testing.T) {
	state := t.TempDir()
	dir := Dir(state, "ns", "box")
	if err := setAsidePaused(state, dir); err != nil {
		t.Errorf("SetAside of a missing directory = %v", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := setAsidePaused(state, dir); err != nil {
		t.Errorf("SetAside of an empty directory = %v", err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the empty directory is still there: %v", err)
	}
	if found, err := takeBack(state, dir, snap); found || err != nil {
		t.Errorf("TakeBack = %v, %v, want none", found, err)
	}
}

// Whatever stands in the way, no byte is overwritten.
func TestNothingIsOverwritten(t *testing.T) {
	state := t.TempDir()
	one, two := Dir(state, "ns", "one"), Dir(state, "ns", "two")
	wantOne := fill(t, one)
	if err := setAsidePaused(state, one); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(two, "home"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := setAsidePaused(state, two); err == nil {
		t.Error("SetAside onto what was set aside before succeeded")
	}
	if _, err := takeBack(state, two, snap); err == nil {
		t.Error("TakeBack into a place that is taken succeeded")
	}
	wantOne[pausedName] = string(snap)
	if diff := cmp.Diff(wantOne, read(t, filepath.Join(lostDir(state), string(snap)))); diff != "" {
		t.Errorf("what was set aside first (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"home/": "", pausedName: string(snap)}, read(t, two)); diff != "" {
		t.Errorf("what is in use (-want +got):\n%s", diff)
	}
}

func TestVolumesBelongToASnapshotOnlyWhileTheSandboxIsPaused(t *testing.T) {
	for name, after := range map[string]func(t *testing.T, dir string) error{
		"resumed": func(_ *testing.T, dir string) error { return NoteRunning(dir) },
		"half said": func(_ *testing.T, dir string) error {
			return os.WriteFile(filepath.Join(dir, pausedName), []byte("01jd"), 0o600)
		},
		"a path": func(_ *testing.T, dir string) error {
			return os.WriteFile(filepath.Join(dir, pausedName), []byte("../../x"), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			state := t.TempDir()
			dir := Dir(state, "ns", "box")
			fill(t, dir)
			if err := NotePaused(dir, snap); err != nil {
				t.Fatal(err)
			}
			if err := after(t, dir); err != nil {
				t.Fatal(err)
			}
			if err := SetAside(state, dir); err != nil {
				t.Fatal(err)
			}
			if found, err := takeBack(state, dir, snap); found || err != nil {
				t.Errorf("TakeBack = %v, %v; they are the snapshot's no more", found, err)
			}
			if lost, err := os.ReadDir(lostDir(state)); err != nil || len(lost) != 1 || !strings.HasPrefix(lost[0].Name(), "ns-box-") {
				t.Errorf("set aside are %v, %v", lost, err)
			}
		})
	}
	none := Dir(t.TempDir(), "ns", "none")
	if err := NotePaused(none, snap); err != nil {
		t.Errorf("note that a sandbox without volumes is paused: %v", err)
	}
	if err := NoteRunning(none); err != nil {
		t.Errorf("note that a sandbox without volumes runs: %v", err)
	}
}
