// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"bytes"
	"errors"
	"maps"
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

// openSealed opens a store in dir that is encrypted with a new key.
func openSealed(t *testing.T, dir string) bucket.Store {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	s, err := OpenStore(t.Context(), job.Store{URL: fileURL(dir), Key: id.String()})
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
