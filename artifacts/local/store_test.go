// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ateom/ateom/artifacts"
	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

func openTest(t *testing.T) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "var", "ateom"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func publish(t *testing.T, s *Store, id artifacts.ID) *Snapshot {
	t.Helper()
	d, err := s.NewDraft(id)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, d)
	snap, err := d.Publish(dataManifest(id))
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

func TestPublishedSnapshotsAreListedInOrder(t *testing.T) {
	s := openTest(t)
	var want []artifacts.ID
	for i := range 3 {
		id := artifacts.NewID(epoch.Add(time.Duration(i) * time.Second))
		want = append(want, id)
	}
	for _, i := range []int{2, 0, 1} {
		publish(t, s, want[i])
	}
	if _, err := s.NewDraft(artifacts.NewID(epoch)); err != nil {
		t.Fatal(err)
	}
	all, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	var got []artifacts.ID
	for _, snap := range all {
		got = append(got, snap.Manifest.ID)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEverythingIsClosedToOthers(t *testing.T) {
	s := openTest(t)
	publish(t, s, artifacts.NewID(epoch))
	err := filepath.WalkDir(s.Dir(), func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestDraftsAndSnapshotsAreOneOfAKind(t *testing.T) {
	s := openTest(t)
	id := artifacts.NewID(epoch)
	d, err := s.NewDraft(id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.NewDraft(id); !errors.Is(err, errdefs.ErrAlreadyExists) {
		t.Errorf("a second draft: %v, want already exists", err)
	}
	if _, err := s.Get(id); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("a draft as a snapshot: %v, want not found", err)
	}
	if _, err := d.Publish(dataManifest(artifacts.NewID(epoch))); !errors.Is(err, errdefs.ErrInvalidArgument) {
		t.Errorf("another's manifest: %v, want invalid argument", err)
	}
	if _, err := d.Publish(dataManifest(id)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.NewDraft(id); !errors.Is(err, errdefs.ErrAlreadyExists) {
		t.Errorf("a draft of what is published: %v, want already exists", err)
	}
	if err := d.Abort(); err != nil {
		t.Errorf("abort what is published: %v", err)
	}
	if _, err := s.Get(id); err != nil {
		t.Errorf("after the abort: %v", err)
	}
	if err := s.Remove(id); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(id); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("remove again: %v, want not found", err)
	}
}

func TestBadIDsAreRefused(t *testing.T) {
	s := openTest(t)
	for _, id := range []artifacts.ID{"", "..", "../../etc", "01KDYAK348SQPKH2H8VWSC9Y34", "a\x00b"} {
		if _, err := s.NewDraft(id); !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("draft %q: %v", id, err)
		}
		if _, err := s.Get(id); !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("get %q: %v", id, err)
		}
		if err := s.Remove(id); !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("remove %q: %v", id, err)
		}
	}
}

func TestDamagedManifestIsDataLoss(t *testing.T) {
	s := openTest(t)
	good, bad := publish(t, s, artifacts.NewID(epoch)), publish(t, s, artifacts.NewID(epoch.Add(time.Second)))
	for name, content := range map[string]string{
		"empty": "", "not JSON": "x", "another's": string(mustRead(t, ManifestPath(good.Dir))),
		"too long": strings.Repeat(" ", artifacts.MaxManifestSize+1),
	} {
		if err := os.WriteFile(ManifestPath(bad.Dir), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(bad.Manifest.ID); !errors.Is(err, errdefs.ErrDataLoss) {
			t.Errorf("%s: %v, want data loss", name, err)
		}
	}
	if err := os.Remove(ManifestPath(bad.Dir)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(bad.Manifest.ID); !errors.Is(err, errdefs.ErrDataLoss) {
		t.Errorf("gone: %v, want data loss", err)
	}
	all, err := s.List()
	if err != nil || len(all) != 1 || all[0].Manifest.ID != good.Manifest.ID {
		t.Errorf("list: %v, %v; want the good one", all, err)
	}
	if err := s.Remove(bad.Manifest.ID); err != nil {
		t.Errorf("remove the bad one: %v", err)
	}
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestPublishRefusesWhatIsNoFile(t *testing.T) {
	s := openTest(t)
	id := artifacts.NewID(epoch)
	d, err := s.NewDraft(id)
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(ImageDir(d.Dir()), "pages.img")
	if err := os.Symlink("/etc/passwd", link); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Publish(dataManifest(id)); !errors.Is(err, errdefs.ErrFailedPrecondition) || !strings.Contains(err.Error(), link) {
		t.Errorf("publish with a symlink: %v", err)
	}
	if _, err := s.Get(id); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("get: %v, want not found", err)
	}
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Publish(dataManifest(id)); err != nil {
		t.Errorf("publish again without it: %v", err)
	}
}

func TestSweepRemovesRemainsAlone(t *testing.T) {
	s := openTest(t)
	kept := publish(t, s, artifacts.NewID(epoch))
	drafts := filepath.Join(s.Dir(), draftsName)
	trash := filepath.Join(drafts, trashPrefix+string(artifacts.NewID(epoch)))
	young, old := filepath.Join(drafts, makingPrefix+"young"), filepath.Join(drafts, makingPrefix+"old")
	foreign := filepath.Join(drafts, "lost+found")
	for _, dir := range []string{trash, young, old, foreign} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	past := time.Now().Add(-2 * makingTime)
	if err := os.Chtimes(old, past, past); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sweep(DeleteLeftovers); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{kept.Dir, young, foreign} {
		if _, err := os.Stat(dir); err != nil {
			t.Error(err)
		}
	}
	for _, dir := range []string{trash, old} {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there: %v", dir, err)
		}
	}
}

func TestDraftsSurviveASweepThatRunsBeside(t *testing.T) {
	s := openTest(t)
	stop, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				ended <- nil
				return
			default:
			}
			if _, err := s.Sweep(DeleteLeftovers); err != nil {
				ended <- err
				return
			}
		}
	}()
	for i := range 300 {
		publish(t, s, artifacts.NewID(epoch.Add(time.Duration(i)*time.Second)))
	}
	close(stop)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestRecipeOfADraft(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadRecipe(dir, "durable/home"); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("none: %v, want not found", err)
	}
	r := new(artifacts.Recipe)
	if err := r.Append(4096, artifacts.Digest{1}); err != nil {
		t.Fatal(err)
	}
	if err := WriteRecipe(dir, "durable/home", r); err != nil {
		t.Fatal(err)
	}
	got, err := ReadRecipe(dir, "durable/home")
	if err != nil || got.Root() != r.Root() {
		t.Errorf("read: %v", err)
	}
	if err := os.Truncate(RecipePath(dir, "durable/home"), 40); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadRecipe(dir, "durable/home"); !errors.Is(err, errdefs.ErrDataLoss) {
		t.Errorf("truncated: %v, want data loss", err)
	}
}

func TestEachDecodesNothingButWhatHasTheText(t *testing.T) {
	s := openTest(t)
	var ids []artifacts.ID
	for i := range 2 * namesAtOnce {
		ids = append(ids, publish(t, s, artifacts.NewID(epoch.Add(time.Duration(i)*time.Second))).Manifest.ID)
	}
	for text, want := range map[string]int{"": len(ids), string(ids[7]): 1, "no such text": 0} {
		got := map[artifacts.ID]bool{}
		if err := s.Each(text, func(snap *Snapshot) { got[snap.Manifest.ID] = true }); err != nil {
			t.Fatal(err)
		}
		if len(got) != want || want == 1 && !got[ids[7]] {
			t.Errorf("snapshots with %q: %d, want %d", text, len(got), want)
		}
	}
}
