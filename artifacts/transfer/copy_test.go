// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"testing"

	"github.com/ateom/ateom/artifacts"
	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

func TestCopyIsTheSameSnapshot(t *testing.T) {
	from, to := openStore(t, "mem://"), openStore(t, fileURL(t.TempDir()))
	here, there := newNode(t), newNode(t)
	here.write(0, "a", "one")
	image := testImage(1, 3000)
	m, _ := here.commit(from, artifacts.Full, epoch, image, "")
	scratch := t.TempDir()
	t.Setenv("TMPDIR", scratch)
	if _, err := Copy(t.Context(), from, to, m.ID, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := Copy(t.Context(), from, to, m.ID, nil); !errors.Is(err, errdefs.ErrAlreadyExists) {
		t.Errorf("copy again: %v, want already exists", err)
	}
	if diff := cmp.Diff(keys(t, from, ""), keys(t, to, "")); diff != "" {
		t.Errorf("objects (-from +to):\n%s", diff)
	}
	dir, _, err := there.fetch(to, m.ID, false)
	if err != nil {
		t.Fatal(err)
	}
	if !maps.EqualFunc(image, readImage(t, dir), bytes.Equal) || !maps.Equal(here.tree(), there.tree()) {
		t.Error("what was fetched from the copy is something else")
	}
	if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
		t.Errorf("left in the scratch directory: %v, %v", left, err)
	}
}

func TestCopyRefusesDamage(t *testing.T) {
	from := openStore(t, "mem://")
	n := newNode(t)
	n.write(0, "a", "one")
	m, _ := n.commit(from, artifacts.Full, epoch, testImage(1, 100), "")
	for _, key := range objectsOf(t, from, m) {
		to := openStore(t, "mem://")
		good := mustRead(t, from, key)
		bad := bytes.Clone(good)
		bad[len(bad)/2] ^= 1
		mustPut(t, from, key, bad)
		if _, err := Copy(t.Context(), from, to, m.ID, nil); !errors.Is(err, errdefs.ErrDataLoss) {
			t.Errorf("copy with a flipped bit in %s: %v, want data loss", key, err)
		}
		if _, err := Get(t.Context(), to, m.ID); !errors.Is(err, errdefs.ErrNotFound) {
			t.Errorf("the copy is visible: %v", err)
		}
		mustPut(t, from, key, good)
	}
}
