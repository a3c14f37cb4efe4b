// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/artifacts/local"
)

// savePages saves the first size bytes of memory as pages into a draft in dir,
// and returns the file and its recipe.
func savePages(t *testing.T, dir string, memory *os.File, size int, scratch bool) ([]byte, *artifacts.Recipe) {
	t.Helper()
	d, err := openDraft(dir, scratch)
	must(t, err)
	defer d.close()
	image, err := d.create("pages.img")
	must(t, err)
	w := newWriter(artifacts.PartPages, image, d, newStatus("", job.Save))
	stream(t, w, memory, size)
	got, err := os.ReadFile(filepath.Join(dir, "image", "pages.img"))
	must(t, err)
	recipe, err := local.ReadRecipe(dir, artifacts.PartPages)
	must(t, err)
	return got, recipe
}

// What the store has is described like all the rest, but only a draft that is to
// be uploaded from may lack it.
func TestSaveLeavesOutWhatTheStoreHas(t *testing.T) {
	const size = 40*chunkSize + 3*pageSize
	memory := newMemory(t, size)
	whole, recipe := savePages(t, privateDir(t), memory, size, false)

	var list []artifacts.Digest
	want := bytes.Clone(whole)
	for i := range recipe.Len() {
		if i%3 != 0 {
			c := recipe.Chunk(i)
			list = append(list, c.Digest)
			clear(want[c.Offset : c.Offset+int64(c.Length)])
		}
	}
	slices.SortFunc(list, func(a, b artifacts.Digest) int { return bytes.Compare(a[:], b[:]) })
	var known []byte
	for _, d := range list {
		known = append(known, d[:]...)
	}
	for _, scratch := range []bool{true, false} {
		dir := privateDir(t)
		must(t, os.WriteFile(filepath.Join(dir, job.KnownFile), known, 0o600))
		got, again := savePages(t, dir, memory, size, scratch)
		if again.Root() != recipe.Root() || again.Size() != recipe.Size() {
			t.Errorf("scratch %v: the recipe is another one", scratch)
		}
		expect := whole
		if scratch {
			expect = want
		}
		if !bytes.Equal(got, expect) {
			t.Errorf("scratch %v: the image is not what it should be", scratch)
		}
	}
}

// Without such a list the chunks of a scratch draft are summed, in the same cuts.
func TestSaveSumsWhatIsHashedLater(t *testing.T) {
	const size = 40*chunkSize + 3*pageSize
	memory := newMemory(t, size)
	whole, recipe := savePages(t, privateDir(t), memory, size, false)

	dir := privateDir(t)
	d, err := openDraft(dir, true)
	must(t, err)
	defer d.close()
	image, err := d.create("pages.img")
	must(t, err)
	stream(t, newWriter(artifacts.PartPages, image, d, newStatus("", job.Save)), memory, size)

	part, err := job.ReadPart(dir, artifacts.PartPages)
	must(t, err)
	if part.Size != size || !part.Digest.IsZero() {
		t.Errorf("the part is described as %+v", part)
	}
	if _, err := local.ReadRecipe(dir, artifacts.PartPages); !errdefs.IsNotFound(err) {
		t.Errorf("there is a recipe, or none can be: %v", err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "image", "pages.img"))
	must(t, err)
	if !bytes.Equal(got, whole) {
		t.Error("the image is another one")
	}
	body, err := os.ReadFile(filepath.Join(dir, job.SumsFile(artifacts.PartPages)))
	must(t, err)
	sums, err := job.DecodeSums(body)
	must(t, err)
	if len(sums) != recipe.Len() {
		t.Fatalf("%d sums, want %d", len(sums), recipe.Len())
	}
	for i, s := range sums {
		c := recipe.Chunk(i)
		if s != job.SumOf(whole[c.Offset:c.Offset+int64(c.Length)]) {
			t.Fatalf("chunk %d: its sum is not that of its bytes", i)
		}
	}
}

func TestAListOfKnownChunksMustBeOne(t *testing.T) {
	for name, write := range map[string]func(path string) error{
		"empty":          func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"half a digest":  func(path string) error { return os.WriteFile(path, make([]byte, 33), 0o600) },
		"a directory":    func(path string) error { return os.Mkdir(path, 0o700) },
		"a link outside": func(path string) error { return os.Symlink("/etc/passwd", path) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := privateDir(t)
			must(t, write(filepath.Join(dir, job.KnownFile)))
			d, err := openDraft(dir, true)
			if err == nil {
				d.close()
				t.Fatal("it was taken")
			}
			if name != "a link outside" && !errors.Is(err, errdefs.ErrInvalidArgument) {
				t.Errorf("refused with %v, want ErrInvalidArgument", err)
			}
		})
	}
}
