// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/containerd/errdefs"
)

func newKey(t *testing.T) string {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id.String() + "\n"
}

// openSealed opens a store in dir that is encrypted with keys, or a new one.
func openSealed(t *testing.T, dir string, keys ...string) bucket.Store {
	t.Helper()
	if len(keys) == 0 {
		keys = []string{newKey(t)}
	}
	file := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(file, []byte(strings.Join(keys, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := OpenStore(t.Context(), job.Store{URL: fileURL(dir), KeyFile: file})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestEncryptedStoreKeepsSnapshotsAndDeduplicates(t *testing.T) {
	dir := t.TempDir()
	s := openSealed(t, dir)
	here, there := newNode(t), newNode(t)
	here.write(0, "a", "a secret sentence")
	image := testImage(1, 6000)
	first, _ := here.commit(s, artifacts.Full, epoch, image, "")
	second, sent := here.commit(s, artifacts.Full, epoch.Add(time.Second), image, first.ID)
	if sent > 64<<10 {
		t.Errorf("unchanged, %d bytes were sent", sent)
	}
	if err := Remove(t.Context(), s, first.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := Sweep(t.Context(), s, SweepOptions{Now: time.Now().Add(2 * DefaultGrace)}); err != nil {
		t.Fatal(err)
	}
	for _, depth := range []Depth{Shallow, Deep} {
		if _, err := Verify(t.Context(), s, second.ID, depth, nil); err != nil {
			t.Errorf("verify: %v", err)
		}
	}
	got, _, err := there.fetch(s, second.ID, false)
	if err != nil {
		t.Fatal(err)
	}
	if !maps.EqualFunc(image, readImage(t, got), bytes.Equal) || !maps.Equal(here.tree(), there.tree()) {
		t.Error("what was fetched is something else")
	}
	bare := openStore(t, fileURL(dir))
	for _, key := range keys(t, bare, "") {
		if data := mustRead(t, bare, key); !bytes.HasPrefix(data, []byte("age-encryption.org/")) {
			t.Errorf("%s is not encrypted", key)
		}
	}
	if _, err := Get(t.Context(), openSealed(t, dir), second.ID); !errors.Is(err, errdefs.ErrPermissionDenied) {
		t.Errorf("get with another key: %v, want permission denied", err)
	}
}

// Damage of the object that tells a wrong key from damage keeps nobody from
// reading, and is said before anything is written.
func TestDamagedMarkOfAnEncryptedStoreIsNamed(t *testing.T) {
	dir, key := t.TempDir(), newKey(t)
	s, bare := openSealed(t, dir, key), openStore(t, fileURL(dir))
	n := newNode(t)
	m, _ := n.commit(s, artifacts.Full, epoch, testImage(1, 100), "")
	const mark = "sealed"
	good := mustRead(t, bare, mark)
	other := t.TempDir()
	newNode(t).commit(openSealed(t, other), artifacts.Full, epoch, testImage(1, 100), "")
	for _, d := range damages {
		bad := d.apply(bytes.Clone(good), mustRead(t, openStore(t, fileURL(other)), mark))
		if bad == nil {
			continue // the next commit makes it again
		}
		mustPut(t, bare, mark, bad)
		fresh := openSealed(t, dir, key)
		if _, err := Verify(t.Context(), fresh, m.ID, Deep, nil); err != nil {
			t.Errorf("%s: verify: %v", d.name, err)
		}
		_, _, err := n.tryCommit(t.Context(), fresh, artifacts.Full, epoch.Add(time.Second), testImage(1, 100), "")
		if !errors.Is(err, errdefs.ErrDataLoss) && !errors.Is(err, errdefs.ErrPermissionDenied) || !strings.Contains(err.Error(), "decrypt "+mark) {
			t.Errorf("%s: commit: %v, want data loss or permission denied, and the object's name", d.name, err)
		}
	}
}

func TestNamesInAnEncryptedStoreConfirmNoGuess(t *testing.T) {
	image := testImage(1, 500)
	n := newNode(t)
	var names [][]string
	for range 2 {
		dir := t.TempDir()
		n.commit(openSealed(t, dir), artifacts.Full, epoch, image, "")
		names = append(names, slices.DeleteFunc(keys(t, openStore(t, fileURL(dir)), ""), func(key string) bool {
			return !strings.HasPrefix(key, artifacts.PacksPrefix) && !strings.HasPrefix(key, artifacts.RecipesPrefix)
		}))
	}
	for _, key := range names[0] {
		if slices.Contains(names[1], key) {
			t.Errorf("two stores with different keys both have %s", key)
		}
	}
}

func TestKeyIsReplacedWithoutLosingWhatItEncrypted(t *testing.T) {
	dir, older, newer := t.TempDir(), newKey(t), newKey(t)
	n := newNode(t)
	image := testImage(1, 500)
	first, sentFirst := n.commit(openSealed(t, dir, older), artifacts.Full, epoch, image, "")

	both := openSealed(t, dir, newer, older)
	for _, depth := range []Depth{Shallow, Deep} {
		if _, err := Verify(t.Context(), both, first.ID, depth, nil); err != nil {
			t.Errorf("verify what the older key encrypted: %v", err)
		}
	}
	second, sent := n.commit(both, artifacts.Full, epoch.Add(time.Second), image, first.ID)
	if sent < sentFirst {
		t.Errorf("%d bytes were sent, want all %d again: the rest needs the older key", sent, sentFirst)
	}
	third, sent := n.commit(both, artifacts.Full, epoch.Add(2*time.Second), image, second.ID)
	if sent > 64<<10 {
		t.Errorf("unchanged, %d bytes were sent", sent)
	}
	bare, manifest := openStore(t, fileURL(dir)), artifacts.ManifestKey(third.ID)
	good := mustRead(t, bare, manifest)
	bad := bytes.Clone(good)
	bad[30] ^= 1 // in the header, which then is for no key
	mustPut(t, bare, manifest, bad)
	if _, err := Get(t.Context(), openSealed(t, dir, newer, older), third.ID); !errors.Is(err, errdefs.ErrDataLoss) {
		t.Errorf("a damaged header: %v, want data loss", err)
	}
	mustPut(t, bare, manifest, good)
	for name, c := range map[string]struct {
		key            string
		opens, refused []artifacts.ID
	}{
		"the newer key alone": {newer, []artifacts.ID{second.ID, third.ID}, []artifacts.ID{first.ID}},
		"the older key alone": {older, []artifacts.ID{first.ID}, []artifacts.ID{second.ID}},
	} {
		s := openSealed(t, dir, c.key)
		for _, id := range c.opens {
			if _, err := Verify(t.Context(), s, id, Deep, nil); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, id := range c.refused {
			if _, err := Get(t.Context(), s, id); !errors.Is(err, errdefs.ErrPermissionDenied) {
				t.Errorf("%s, get what the other encrypted: %v, want permission denied", name, err)
			}
		}
	}
}
