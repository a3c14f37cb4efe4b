// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/chunk"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/artifacts/local"
	"github.com/containerd/errdefs"
)

// What a save has summed is hashed in the cuts that it has made, and must be the
// same bytes still.
func TestSumsAreComparedWhenTheImageIsHashed(t *testing.T) {
	image := testImage(1, 100)
	pages := image[artifacts.PartPages]
	var lengths []int
	for left, n := len(pages), 4096; left > 0; left -= n {
		n = min(n%60_000+4096, left)
		lengths = append(lengths, n)
	}
	var recipe artifacts.Recipe
	var list []job.Sum
	at := 0
	for _, n := range lengths {
		c := pages[at : at+n]
		at += n
		list = append(list, job.SumOf(c))
		digest := digestOf(c)
		if chunk.IsZero(c) {
			digest = artifacts.Digest{}
		}
		if err := recipe.Append(uint32(n), digest); err != nil {
			t.Fatal(err)
		}
	}
	seal := func(t *testing.T, sums []byte, damage func(path string) error) (*artifacts.Recipe, error) {
		d := newNode(t).draft(artifacts.NewID(epoch), image)
		t.Cleanup(func() { d.Abort() })
		path, err := local.ImagePath(d.Dir(), artifacts.PartPages)
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{
			os.Mkdir(filepath.Join(d.Dir(), job.SumsDir), 0o700),
			os.WriteFile(filepath.Join(d.Dir(), job.SumsFile(artifacts.PartPages)), sums, 0o600),
			damage(path),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		return sealPart(t.Context(), d.Dir(), artifacts.PartPages, nil)
	}
	whole := job.EncodeSums(list)
	none := func(string) error { return nil }

	got, err := seal(t, whole, none)
	if err != nil {
		t.Fatal(err)
	}
	if got.Root() != recipe.Root() || got.Len() != recipe.Len() {
		t.Error("the recipe is not the one of the cuts that the save has made")
	}
	flip := func(off int64) func(string) error {
		return func(path string) error {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteAt([]byte{pages[off] ^ 1}, off)
			return err
		}
	}
	for name, tc := range map[string]struct {
		sums   []byte
		damage func(string) error
	}{
		"the first bit":        {whole, flip(0)},
		"a bit in the middle":  {whole, flip(int64(len(pages) / 2))},
		"the last bit":         {whole, flip(int64(len(pages) - 1))},
		"a page less":          {whole, func(path string) error { return os.Truncate(path, int64(len(pages)-4096)) }},
		"a page more":          {whole, func(path string) error { return os.Truncate(path, int64(len(pages)+4096)) }},
		"a sum less":           {whole[:len(whole)-8], none},
		"a sum more":           {job.EncodeSums(append(list[:len(list):len(list)], job.SumOf([]byte("x")))), none},
		"half a sum":           {whole[:len(whole)-3], none},
		"no sums":              {nil, none},
		"a chunk of no length": {job.EncodeSums(append([]job.Sum{{}}, list...)), none},
		"a chunk of 4 GiB":     {job.EncodeSums(append([]job.Sum{{Length: 1<<32 - 1}}, list...)), none},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := seal(t, tc.sums, tc.damage); !errdefs.IsDataLoss(err) {
				t.Errorf("sealed with %v, want data loss", err)
			}
		})
	}
}
