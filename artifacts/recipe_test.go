// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package artifacts

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/errdefs"
)

// plainRecipe has stored chunks and runs of zeros.
func plainRecipe(t testing.TB) *Recipe {
	t.Helper()
	r := new(Recipe)
	for _, c := range []struct {
		length uint32
		digest Digest
	}{{4096, digestN(1)}, {1 << 30, Digest{}}, {100, digestN(2)}, {4096, digestN(1)}, {7, Digest{}}} {
		if err := r.Append(c.length, c.digest); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// locatedRecipe has the chunks of plainRecipe, in two packs.
func locatedRecipe(t testing.TB) *Recipe {
	t.Helper()
	a, b := Pack{Digest: digestN(0xa), Size: 5000}, Pack{Digest: digestN(0xb), Size: 300}
	plain, r := plainRecipe(t), new(Recipe)
	for i, l := range []Location{
		{Pack: a, Offset: 10, StoredLength: 4096}, {}, {Pack: b, Offset: 0, StoredLength: 99, Codec: CodecZstd},
		{Pack: a, Offset: 10, StoredLength: 4096}, {},
	} {
		c := plain.Chunk(i)
		if err := r.AppendLocated(c.Length, c.Digest, l); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func TestRecipeComesBack(t *testing.T) {
	for name, r := range map[string]*Recipe{"empty": {}, "plain": plainRecipe(t), "located": locatedRecipe(t)} {
		t.Run(name, func(t *testing.T) {
			data := EncodeRecipe(r)
			got, err := DecodeRecipe(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			if got.Size() != r.Size() || got.Root() != r.Root() || got.Located() != r.Located() {
				t.Errorf("size %d, root %s, located %t; want %d, %s, %t", got.Size(), got.Root(), got.Located(), r.Size(), r.Root(), r.Located())
			}
			if again := EncodeRecipe(got); !bytes.Equal(again, data) {
				t.Error("encoding it again gives other bytes")
			}
		})
	}
}

func TestGoldenRecipesStayReadable(t *testing.T) {
	for name, r := range map[string]*Recipe{"plain": plainRecipe(t), "located": locatedRecipe(t)} {
		file := filepath.Join("testdata", "recipe-1-"+name)
		if *update {
			if err := os.WriteFile(file, EncodeRecipe(r), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(data, EncodeRecipe(r)) {
			t.Errorf("%s: this version writes other bytes", file)
		}
		if got, err := DecodeRecipe(bytes.NewReader(data)); err != nil || got.Root() != r.Root() {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestRootDependsOnTheChunksAlone(t *testing.T) {
	plain, located := plainRecipe(t), locatedRecipe(t)
	if plain.Root() != located.Root() {
		t.Error("the root depends on where the chunks lie")
	}
	other := plainRecipe(t)
	if err := other.Append(1, digestN(9)); err != nil {
		t.Fatal(err)
	}
	if other.Root() == plain.Root() {
		t.Error("one chunk more has the same root")
	}
}

func TestZerosAreOneChunk(t *testing.T) {
	r := new(Recipe)
	for range 5 {
		if err := r.Append(1<<30, Digest{}); err != nil {
			t.Fatal(err)
		}
	}
	// 5 GiB: two runs of 2 GiB, which is the longest, and the rest.
	if r.Len() != 3 || r.Size() != 5<<30 {
		t.Errorf("%d chunks of %d bytes, want 3 of 5 GiB", r.Len(), r.Size())
	}
}

func TestFindIsTheChunkThatHoldsTheByte(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	r := new(Recipe)
	for range 1000 {
		if err := r.Append(1+rng.Uint32N(100), digestN(byte(1+rng.IntN(3)))); err != nil {
			t.Fatal(err)
		}
	}
	at := 0
	for off := range r.Size() {
		if c := r.Chunk(at); off == c.Offset+int64(c.Length) {
			at++
		}
		if got, ok := r.Find(off); !ok || got != at {
			t.Fatalf("byte %d: chunk %d, %t; want %d", off, got, ok, at)
		}
	}
	for _, off := range []int64{-1, r.Size(), 1 << 62} {
		if _, ok := r.Find(off); ok {
			t.Errorf("byte %d was found", off)
		}
	}
}

func TestBadChunksAreNotAppended(t *testing.T) {
	pack := Pack{Digest: digestN(1), Size: 100}
	for _, c := range []struct {
		name   string
		length uint32
		digest Digest
		loc    Location
	}{
		{"empty", 0, digestN(1), Location{Pack: pack}},
		{"too long", MaxChunkSize + 1, digestN(1), Location{Pack: pack}},
		{"too many zeros", 1<<31 + 1, Digest{}, Location{}},
		{"behind the pack", 50, digestN(1), Location{Pack: pack, Offset: 51, StoredLength: 50}},
		{"overflow", 50, digestN(1), Location{Pack: pack, Offset: 1<<32 - 1, StoredLength: 50}},
		{"huge pack", 50, digestN(1), Location{Pack: Pack{Digest: digestN(1), Size: 1 << 31}, StoredLength: 50}},
		{"raw of another length", 50, digestN(1), Location{Pack: pack, StoredLength: 49}},
		{"zstd as long as raw", 50, digestN(1), Location{Pack: pack, StoredLength: 50, Codec: CodecZstd}},
		{"nothing stored", 50, digestN(1), Location{Pack: pack, Codec: CodecZstd}},
		{"unknown codec", 50, digestN(1), Location{Pack: pack, StoredLength: 50, Codec: 7}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := new(Recipe)
			if err := r.AppendLocated(c.length, c.digest, c.loc); !errors.Is(err, errdefs.ErrInvalidArgument) {
				t.Errorf("%v, want invalid argument", err)
			}
			if r.Len() != 0 {
				t.Error("it was appended")
			}
		})
	}
}

func TestBadRecipesAreRefused(t *testing.T) {
	le := binary.LittleEndian
	for _, c := range []struct {
		name   string
		change func([]byte) []byte
	}{
		{"other magic", func(b []byte) []byte { b[0] = 'X'; return b }},
		{"unknown flag", func(b []byte) []byte { b[10] |= 2; return b }},
		{"reserved field", func(b []byte) []byte { b[20] = 1; return b }},
		{"2³² chunks", func(b []byte) []byte { le.PutUint32(b[12:], 1<<32-1); return b }},
		{"a million chunks that do not come", func(b []byte) []byte { le.PutUint32(b[12:], MaxChunks); return b }},
		{"2³² packs", func(b []byte) []byte { le.PutUint32(b[16:], 1<<32-1); return b }},
		{"chunk less", func(b []byte) []byte { le.PutUint32(b[12:], 4); return b }},
		{"other size", func(b []byte) []byte { le.PutUint64(b[24:], 1<<63); return b }},
		{"a byte more", func(b []byte) []byte { return append(b, 0) }},
		{"a byte less", func(b []byte) []byte { return b[:len(b)-1] }},
		{"nothing", func([]byte) []byte { return nil }},
		{"pack twice", func(b []byte) []byte { copy(b[68:104], b[32:68]); return b }},
		{"pack without digest", func(b []byte) []byte { clear(b[32:64]); return b }},
		{"unknown pack", func(b []byte) []byte { b[104+36] = 9; return b }},
		{"packs not in order of use", func(b []byte) []byte { b[104+36] = 1; return b }},
		{"zeros with a place", func(b []byte) []byte { b[104+49+40] = 1; return b }},
		{"unknown codec", func(b []byte) []byte { b[104+48] = 5; return b }},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := c.change(EncodeRecipe(locatedRecipe(t)))
			if _, err := DecodeRecipe(bytes.NewReader(data)); !errors.Is(err, errdefs.ErrInvalidArgument) {
				t.Errorf("%v, want invalid argument", err)
			}
		})
	}
	data := EncodeRecipe(plainRecipe(t))
	data[8] = 2
	if _, err := DecodeRecipe(bytes.NewReader(data)); !errors.Is(err, errdefs.ErrNotImplemented) {
		t.Errorf("version 2: %v, want not implemented", err)
	}
}

func FuzzRecipe(f *testing.F) {
	f.Add(EncodeRecipe(plainRecipe(f)))
	f.Add(EncodeRecipe(locatedRecipe(f)))
	f.Add(EncodeRecipe(new(Recipe)))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := DecodeRecipe(bytes.NewReader(data))
		if err != nil {
			return
		}
		if out := EncodeRecipe(r); !bytes.Equal(out, data) {
			t.Fatalf("decoded %x, encoded %x", data, out)
		}
		for i := range r.Len() {
			c := r.Chunk(i)
			if got, ok := r.Find(c.Offset); !ok || got != i {
				t.Fatalf("chunk %d begins at %d, where %d was found", i, c.Offset, got)
			}
			if r.Located() && !c.Zero() {
				if l := r.Location(i); uint64(l.Offset)+uint64(l.StoredLength) > uint64(l.Pack.Size) {
					t.Fatalf("chunk %d lies outside of its pack: %+v", i, l)
				}
			}
		}
	})
}
