// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package pack

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/ateom/ateom/artifacts"
	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
)

var update = flag.Bool("update", false, "write the golden files of this version")

func random(seed byte, n int) []byte {
	data := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(data)
	return data
}

// samples are chunks of several kinds.
func samples() [][]byte {
	return [][]byte{
		random(1, 65536), random(2, 1), bytes.Repeat([]byte("text "), 13000),
		make([]byte, 100), random(3, artifacts.MaxChunkSize), bytes.Repeat([]byte{7}, artifacts.MaxChunkSize),
	}
}

func TestChunksComeBack(t *testing.T) {
	for i, chunk := range samples() {
		stored, codec := Compress([]byte("in front"), chunk)
		stored = stored[len("in front"):]
		if want := i == 0 || i == 1 || i == 4; want != (codec == artifacts.CodecRaw) {
			t.Errorf("chunk %d: codec %d for %d of %d bytes", i, codec, len(stored), len(chunk))
		}
		got := make([]byte, len(chunk))
		if err := Decompress(got, stored, codec, sha256.Sum256(chunk)); err != nil {
			t.Errorf("chunk %d: %v", i, err)
		}
		if !bytes.Equal(got, chunk) {
			t.Errorf("chunk %d is another one", i)
		}
	}
}

func TestWrongStoredBytesAreDataLoss(t *testing.T) {
	chunk := bytes.Repeat([]byte("text "), 13000)
	digest := artifacts.Digest(sha256.Sum256(chunk))
	stored, codec := Compress(nil, chunk)
	bomb, _ := Compress(nil, make([]byte, artifacts.MaxChunkSize))
	for _, c := range []struct {
		name   string
		stored []byte
		codec  artifacts.Codec
		length int
	}{
		{"nothing", nil, codec, len(chunk)},
		{"truncated", stored[:len(stored)-1], codec, len(chunk)},
		{"longer", append(bytes.Clone(stored), 0), codec, len(chunk)},
		{"another frame behind", append(bytes.Clone(stored), stored...), codec, len(chunk)},
		{"a bomb", bomb, codec, len(chunk)},
		{"too short for its length", stored, codec, len(chunk) + 1},
		{"too long for its length", stored, codec, len(chunk) - 1},
		{"raw of another length", chunk[1:], artifacts.CodecRaw, len(chunk)},
		{"raw of other bytes", bytes.Repeat([]byte("Text "), 13000), artifacts.CodecRaw, len(chunk)},
		{"unknown codec", stored, 9, len(chunk)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := Decompress(make([]byte, c.length), c.stored, c.codec, digest); !errors.Is(err, errdefs.ErrDataLoss) {
				t.Errorf("%v, want data loss", err)
			}
		})
	}
}

// TestBombTakesNoMemory decompresses a frame that claims and holds far more
// than the chunk's length.
func TestBombTakesNoMemory(t *testing.T) {
	var bomb bytes.Buffer
	w, err := zstd.NewWriter(&bomb, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 1<<20)
	for range 512 {
		if _, err := w.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	dst := make([]byte, 65536)
	result := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			if err := Decompress(dst, bomb.Bytes(), artifacts.CodecZstd, artifacts.Digest{1}); !errors.Is(err, errdefs.ErrDataLoss) {
				b.Fatalf("%v, want data loss", err)
			}
		}
	})
	if got := result.AllocedBytesPerOp(); got > 16<<20 {
		t.Errorf("%d bytes of memory for a chunk of 64 KiB", got)
	}
}

// build makes a pack of the samples.
func build(t testing.TB) (artifacts.Pack, []byte, []Entry) {
	t.Helper()
	var b Builder
	for _, chunk := range samples()[:4] {
		stored, codec := Compress(nil, chunk)
		b.Add(sha256.Sum256(chunk), uint32(len(chunk)), stored, codec)
	}
	p, data := b.Finish()
	return p, bytes.Clone(data), append([]Entry(nil), b.Entries()...)
}

func TestPackSaysWhatIsInIt(t *testing.T) {
	p, data, want := build(t)
	if p.Size != uint32(len(data)) || p.Digest != sha256.Sum256(data) {
		t.Errorf("pack %+v of %d bytes", p, len(data))
	}
	size := int64(len(data))
	n, err := IndexSize(data[size-TailSize:], size)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeIndex(data[size-TailSize-n:], size)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("index (-added +read):\n%s", diff)
	}
	for i, e := range got {
		dst := make([]byte, e.Length)
		if err := Decompress(dst, data[e.Offset:][:e.StoredLength], e.Codec, e.Digest); err != nil || !bytes.Equal(dst, samples()[i]) {
			t.Errorf("chunk %d: %v", i, err)
		}
	}
}

func TestGoldenPackStaysReadable(t *testing.T) {
	_, data, want := build(t)
	const file = "testdata/pack-1"
	if *update {
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// A later zstd may compress otherwise, so the bytes are not compared.
	golden, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	n, err := IndexSize(golden[len(golden)-TailSize:], int64(len(golden)))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := DecodeIndex(golden[int64(len(golden))-TailSize-n:], int64(len(golden)))
	if err != nil || len(entries) != len(want) {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	for i, e := range entries {
		dst := make([]byte, e.Length)
		if err := Decompress(dst, golden[e.Offset:][:e.StoredLength], e.Codec, want[i].Digest); err != nil {
			t.Error(err)
		}
	}
}

func TestBuilderIsUsedAgain(t *testing.T) {
	var b Builder
	for b.Len() < 10 && !b.Full() {
		b.Add(artifacts.Digest{1}, artifacts.MaxChunkSize, random(1, artifacts.MaxChunkSize), artifacts.CodecRaw)
	}
	if b.Len() != Target/artifacts.MaxChunkSize {
		t.Errorf("full after %d chunks", b.Len())
	}
	b.Finish()
	b.Reset()
	if b.Len() != 0 || b.Full() {
		t.Error("it is not empty after Reset")
	}
	empty, _ := b.Finish()
	if fresh, _ := new(Builder).Finish(); empty != fresh {
		t.Error("an empty pack after Reset is another one")
	}
}

func TestBadPacksAreRefused(t *testing.T) {
	le := binary.LittleEndian
	_, good, _ := build(t)
	// reindex makes the index's digest match again after a change.
	reindex := func(b []byte) []byte {
		n, end := int(le.Uint32(b[len(b)-16:]))*entrySize, len(b)-TailSize
		if n > end {
			return b
		}
		sum := sha256.Sum256(b[end-n : end])
		copy(b[end:], sum[:])
		return b
	}
	index := len(good) - TailSize - 4*entrySize
	for _, c := range []struct {
		name   string
		change func(b []byte) []byte
	}{
		{"other magic", func(b []byte) []byte { b[len(b)-1] = 'X'; return b }},
		{"reserved field", func(b []byte) []byte { b[len(b)-10] = 1; return b }},
		{"2³² chunks", func(b []byte) []byte { le.PutUint32(b[len(b)-16:], 1<<32-1); return b }},
		{"a chunk more", func(b []byte) []byte { le.PutUint32(b[len(b)-16:], 5); return b }},
		{"a chunk less", func(b []byte) []byte { le.PutUint32(b[len(b)-16:], 3); return reindex(b) }},
		{"flipped index", func(b []byte) []byte { b[index] ^= 1; return b }},
		{"no digest", func(b []byte) []byte { clear(b[index : index+32]); return reindex(b) }},
		{"no length", func(b []byte) []byte { le.PutUint32(b[index+32:], 0); return reindex(b) }},
		{"long chunk", func(b []byte) []byte { le.PutUint32(b[index+32:], artifacts.MaxChunkSize+1); return reindex(b) }},
		{"gap", func(b []byte) []byte { le.PutUint32(b[index+36:], 1); return reindex(b) }},
		{"stored longer than raw", func(b []byte) []byte { le.PutUint32(b[index+40:], 1<<31); return reindex(b) }},
		{"stored shorter", func(b []byte) []byte { b[index+40]--; return reindex(b) }},
		{"unknown codec", func(b []byte) []byte { b[index+44] = 4; return reindex(b) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := c.change(bytes.Clone(good))
			_, err := decode(b)
			if c.name == "reserved field" {
				if !errors.Is(err, errdefs.ErrNotImplemented) {
					t.Errorf("%v, want not implemented", err)
				}
				return
			}
			if !errors.Is(err, errdefs.ErrDataLoss) {
				t.Errorf("%v, want data loss", err)
			}
		})
	}
	for n := range 2 * TailSize {
		if _, err := decode(good[:n]); err == nil {
			t.Errorf("the first %d bytes were taken for a pack", n)
		}
	}
}

// decode reads a whole pack as a reader of ranges does.
func decode(b []byte) ([]Entry, error) {
	size := int64(len(b))
	n, err := IndexSize(b[max(0, size-TailSize):], size)
	if err != nil {
		return nil, err
	}
	return DecodeIndex(b[size-TailSize-n:], size)
}

func FuzzPack(f *testing.F) {
	_, good, _ := build(f)
	f.Add(good)
	f.Add(good[len(good)-TailSize:])
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := decode(data)
		if err != nil {
			return
		}
		for _, e := range entries {
			if int64(e.Offset)+int64(e.StoredLength) > int64(len(data)) {
				t.Fatalf("entry %+v of a pack of %d bytes", e, len(data))
			}
			dst := make([]byte, e.Length)
			if err := Decompress(dst, data[e.Offset:][:e.StoredLength], e.Codec, e.Digest); err != nil && !errors.Is(err, errdefs.ErrDataLoss) {
				t.Fatal(err)
			}
		}
	})
}
