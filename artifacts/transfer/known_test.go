// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/chunk"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/artifacts/local"
)

// A commit lists what its parent has in the store, and does not miss it in the
// image that it sends.
func TestCommitDoesWithoutWhatTheStoreHas(t *testing.T) {
	s := openStore(t, fileURL(t.TempDir()))
	here, there := newNode(t), newNode(t)
	image := testImage(1, 1000)
	first, _ := here.commit(s, artifacts.Full, epoch, image, "")

	for i := range 3 { // three chunks are new
		copy(image[artifacts.PartPages][i*10*chunk.FixedSize:], "changed since")
	}
	id := artifacts.NewID(epoch.Add(time.Minute))
	d := here.draft(id, image)
	defer d.Abort()
	c, warnings, err := NewCommit(t.Context(), s, &job.Request{Dir: d.Dir(), ID: id, Scope: artifacts.Full, Volumes: here.volumes, Parent: first.ID})
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	defer c.Close()

	// As the save does it.
	list, err := os.ReadFile(filepath.Join(d.Dir(), job.KnownFile))
	if err != nil {
		t.Fatal(err)
	}
	known := map[artifacts.Digest]bool{}
	for at := 0; at < len(list); at += len(artifacts.Digest{}) {
		if at > 0 && bytes.Compare(list[at-32:at], list[at:at+32]) >= 0 {
			t.Fatalf("the list is not in ascending order at %d", at)
		}
		known[artifacts.Digest(list[at:at+32])] = true
	}
	holes, kept := 0, 0
	for _, part := range local.ImageParts() {
		recipe, err := sealPart(t.Context(), d.Dir(), part, nil)
		if err != nil {
			t.Fatal(err)
		}
		path, err := local.ImagePath(d.Dir(), part)
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := range recipe.Len() {
			switch ch := recipe.Chunk(i); {
			case known[ch.Digest]:
				clear(data[ch.Offset : ch.Offset+int64(ch.Length)])
				holes++
			case !ch.Zero():
				kept++
			}
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if holes == 0 || kept != 3 {
		t.Errorf("%d chunks are listed as known, %d are not; want some and 3", holes, kept)
	}

	if err := c.Capture(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	m := manifest(id, artifacts.Full)
	m.Parent = first.ID
	if m, err = c.Upload(t.Context(), m, nil); err != nil {
		t.Fatal(err)
	}
	dir, _, err := there.fetch(s, m.ID, false)
	if err != nil {
		t.Fatal(err)
	}
	if !maps.EqualFunc(image, readImage(t, dir), bytes.Equal) {
		t.Error("the fetched image is not the one of the sandbox")
	}
}

// There is nothing to leave out of a Data commit, of a first one, or of one
// whose parent is gone.
func TestCommitListsNothingWithoutAParent(t *testing.T) {
	s := openStore(t, fileURL(t.TempDir()))
	here := newNode(t)
	first, _ := here.commit(s, artifacts.Full, epoch, testImage(1, 100), "")
	for name, r := range map[string]*job.Request{
		"Data":           {Scope: artifacts.Data, Parent: first.ID},
		"the first":      {Scope: artifacts.Full},
		"parent is gone": {Scope: artifacts.Full, Parent: artifacts.NewID(epoch.Add(-time.Hour))},
	} {
		t.Run(name, func(t *testing.T) {
			r.ID = artifacts.NewID(epoch.Add(time.Hour))
			d := here.draft(r.ID, nil)
			defer d.Abort()
			r.Dir = d.Dir()
			c, _, err := NewCommit(t.Context(), s, r)
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
			if _, err := os.Stat(filepath.Join(d.Dir(), job.KnownFile)); !os.IsNotExist(err) {
				t.Errorf("there is a list of known chunks (%v)", err)
			}
		})
	}
}
