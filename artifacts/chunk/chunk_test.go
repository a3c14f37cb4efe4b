// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package chunk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/ateom/ateom/artifacts"
)

func random(seed byte, n int) []byte {
	data := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(data)
	return data
}

func scan(t testing.TB, data []byte, cut Cutter) *artifacts.Recipe {
	t.Helper()
	r, err := Scan(context.Background(), bytes.NewReader(data), int64(len(data)), cut, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// check compares a recipe with the bytes.
func check(t *testing.T, data []byte, r *artifacts.Recipe) {
	t.Helper()
	if r.Size() != int64(len(data)) {
		t.Fatalf("the recipe has %d bytes of %d", r.Size(), len(data))
	}
	for i := range r.Len() {
		c := r.Chunk(i)
		piece := data[c.Offset:][:c.Length]
		if c.Zero() != IsZero(piece) || !c.Zero() && (c.Digest != sha256.Sum256(piece) || c.Length > MaxSpan) {
			t.Errorf("chunk %d at %d+%d is wrong", i, c.Offset, c.Length)
		}
	}
}

func TestScanCoversEveryByte(t *testing.T) {
	zeros := make([]byte, 3<<20)
	for name, data := range map[string][]byte{
		"nothing":           {},
		"a byte":            {1},
		"a zero":            {0},
		"a page":            random(1, 4096),
		"an odd length":     random(1, 3_000_001),
		"zeros":             zeros,
		"odd zeros":         zeros[:1_000_001],
		"zeros behind":      append(random(2, 100_000), zeros...),
		"zeros in front":    append(bytes.Clone(zeros), random(3, 5000)...),
		"the same page":     bytes.Repeat(random(4, 4096), 500),
		"blocks' edges":     random(5, 4<<20),
		"zeros across them": append(append(random(6, 1<<20-100), zeros...), 1),
	} {
		for cutName, cut := range map[string]Cutter{"fixed": Fixed{}, "pages": Pages{}, "content": NewContent(0)} {
			t.Run(cutName+"/"+name, func(t *testing.T) { check(t, data, scan(t, data, cut)) })
		}
	}
}

// shared returns how many bytes of b are in chunks that a has, too.
func shared(a, b *artifacts.Recipe) (n int64) {
	have := map[artifacts.Digest]bool{}
	for i := range a.Len() {
		have[a.Chunk(i).Digest] = true
	}
	for i := range b.Len() {
		if c := b.Chunk(i); have[c.Digest] {
			n += int64(c.Length)
		}
	}
	return n
}

// TestPagesFindShiftedContent inserts and removes pages in the front: nearly all of
// the rest is the same chunks again.
func TestPagesFindShiftedContent(t *testing.T) {
	data := random(1, 32<<20)
	for name, changed := range map[string][]byte{
		"a page more":     append(random(2, 4096), data...),
		"a page less":     data[4096:],
		"33 pages more":   append(random(3, 33*4096), data...),
		"in the middle":   append(append(bytes.Clone(data[:16<<20]), random(4, 4096)...), data[16<<20:]...),
		"a page replaced": append(append(bytes.Clone(data[:16<<20]), random(5, 4096)...), data[16<<20+4096:]...),
	} {
		if got, want := shared(scan(t, data, Pages{}), scan(t, changed, Pages{})), int64(len(data))*98/100; got < want {
			t.Errorf("%s: %d of %d bytes are the same chunks, want %d", name, got, len(data), want)
		}
	}
}

func TestChunksAreOfTheSizeThatWasMeant(t *testing.T) {
	r := scan(t, random(7, 64<<20), Pages{})
	if mean := r.Size() / int64(r.Len()); mean < 48<<10 || mean > 96<<10 {
		t.Errorf("%d chunks of %d bytes on average", r.Len(), mean)
	}
}

func TestScanEndsWithItsContextAndItsReader(t *testing.T) {
	data := random(1, 8<<20)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Scan(ctx, bytes.NewReader(data), int64(len(data)), Pages{}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := Scan(t.Context(), bytes.NewReader(data), int64(len(data))+1, Pages{}, nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a byte short: %v", err)
	}
	broken := readerAtFunc(func(p []byte, off int64) (int, error) { return 0, io.ErrClosedPipe })
	if _, err := Scan(t.Context(), broken, 10, Pages{}, nil); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("broken: %v", err)
	}
}

type readerAtFunc func(p []byte, off int64) (int, error)

func (f readerAtFunc) ReadAt(p []byte, off int64) (int, error) { return f(p, off) }

func BenchmarkScanPages(b *testing.B) {
	data := random(1, 64<<20)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		scan(b, data, Pages{})
	}
}

// A volume's chunks are cut where every version of this program cuts them:
// other cuts would send everything again.
func TestContentCutsStayTheSame(t *testing.T) {
	data := append(random(7, 2<<20), make([]byte, 300<<10)...)
	data = append(data, bytes.Repeat([]byte("some text "), 50_000)...)
	for scale, want := range map[int]string{
		1: "sha256:e226a13fa7dd3f496d361516dcb4966cc21cfd1394c42b17311c00206295b809",
		4: "sha256:8ac5d05b8b9b59c30d6a6c2963654b70749e46eac898817460a98c2c9498fca7",
	} {
		r := new(artifacts.Recipe)
		cut := NewContent(int64(scale) * contentStep)
		for rest := data; len(rest) > 0; {
			s, _ := cut.Next(rest, true)
			if err := r.Append(uint32(s.Length), sha256.Sum256(rest[:s.Length])); err != nil {
				t.Fatal(err)
			}
			rest = rest[s.Length:]
		}
		if got := r.Root().String(); got != want {
			t.Errorf("scale %d: %d chunks, root %s, want %s", scale, r.Len(), got, want)
		}
	}
}

func TestContentThatIsInsertedMovesNoOtherCut(t *testing.T) {
	old := random(8, 8<<20)
	at := 3 << 20
	new := append(append(bytes.Clone(old[:at]), "inserted"...), old[at:]...)
	cut := func(data []byte) *artifacts.Recipe { return scan(t, data, NewContent(int64(len(data)))) }
	a, b := cut(old), cut(new)
	if n := int64(len(new)) - shared(a, b); n > 4*contentMax {
		t.Errorf("%d bytes are in other chunks after an insertion of 8", n)
	}
	if average := len(old) / a.Len(); average < contentNormal || average > 2*contentNormal {
		t.Errorf("chunks of %d bytes on average", average)
	}
}

func TestContentScaleKeepsRecipesSmall(t *testing.T) {
	for _, size := range []int64{0, 1 << 30, 8 << 30, 100 << 30, 1 << 40} {
		scale := ContentScale(size)
		if chunks := size / int64(contentNormal*scale); chunks > artifacts.MaxChunks || contentMax*scale > artifacts.MaxChunkSize {
			t.Errorf("%d bytes: scale %d, %d chunks", size, scale, chunks)
		}
	}
}
