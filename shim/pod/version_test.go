// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"os"
	"path/filepath"
	"testing"
)

const (
	oldVersion = "..2026_11_28_04_44_01.273685046"
	newVersion = "..2026_11_28_05_00_00.1"
)

// newVolume makes a volume as kubelet does, with the file a/greeting in it.
func newVolume(t *testing.T) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "kubernetes.io~configmap", "settings")
	if err := os.MkdirAll(filepath.Join(dir, newVersion, "a"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, newVersion, "a", "greeting"), []byte("hello"), 0o640); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{dataLink: newVersion, "a": dataLink + "/a"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestWhatAVolumeHoldsIsFoundUnderAnotherVersion(t *testing.T) {
	dir := newVolume(t)
	if got := Version(dir); got != newVersion {
		t.Fatalf("the version is %q, want %q", got, newVersion)
	}
	// What a crash has left is in nobody's way; a second offer is none.
	if err := os.MkdirAll(filepath.Join(dir, offerName, "a"), 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := Offer(dir, oldVersion); err != nil {
			t.Fatal(err)
		}
	}
	was, err := os.Stat(filepath.Join(dir, newVersion, "a", "greeting"))
	if err != nil {
		t.Fatal(err)
	}
	is, err := os.Stat(filepath.Join(dir, oldVersion, "a", "greeting"))
	if err != nil || !os.SameFile(was, is) {
		t.Errorf("the file under the other version: %v, want the same one", err)
	}
	if now := Version(dir); now != newVersion {
		t.Errorf("the version is %q afterwards", now)
	}
	if _, err := os.Lstat(filepath.Join(dir, offerName)); err == nil {
		t.Error("an offer on its way was left")
	}
}

func TestOnlyVersionsOfKubeletsVolumesAreOffered(t *testing.T) {
	plain, kubelets := filepath.Join(t.TempDir(), "kubernetes.io~secret", "plain"), newVolume(t)
	if err := os.MkdirAll(plain, 0o755); err != nil {
		t.Fatal(err)
	}
	pods := filepath.Join(t.TempDir(), "kubernetes.io~empty-dir", "settings")
	if err := os.Mkdir(filepath.Dir(pods), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(newVolume(t), pods); err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(t.TempDir(), oldVersion)
	for _, c := range []struct{ volume, version string }{
		{plain, oldVersion},
		{pods, oldVersion},
		{kubelets, newVersion},
		{kubelets, "x"},
		{kubelets, ""},
		{kubelets, "../" + filepath.Base(filepath.Dir(outside)) + "/" + oldVersion},
		{kubelets, "..data"},
	} {
		before := names(t, c.volume)
		if err := Offer(c.volume, c.version); err != nil {
			t.Errorf("%q: %v", c.version, err)
		}
		if now := names(t, c.volume); now != before {
			t.Errorf("%q: the volume had %s and has %s", c.version, before, now)
		}
	}
	if _, err := os.Lstat(outside); err == nil {
		t.Error("something was made outside of the volume")
	}
}

// A volume that leads elsewhere is no reason to link what is there.
func TestNothingOutsideOfAVolumeIsOffered(t *testing.T) {
	dir, secret := filepath.Join(t.TempDir(), "kubernetes.io~secret", "x"), t.TempDir()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(secret, "key"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{dataLink: newVersion, newVersion: secret} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := Offer(dir, oldVersion); err == nil {
		t.Error("a directory outside of the volume was offered")
	}
	if _, err := os.Lstat(filepath.Join(dir, oldVersion)); err == nil {
		t.Error("there is a version")
	}
}

// names are those in a directory.
func names(t *testing.T, dir string) (all string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all += e.Name() + " "
	}
	return all
}
