// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package artifacts

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"sort"

	"github.com/containerd/errdefs"
)

// Bounds of recipes and packs.
const (
	// MaxChunkSize bounds a chunk that is stored, in bytes. A run of zeros may
	// be as long as its 32-bit length says.
	MaxChunkSize = 4 << 20
	// MaxChunks bounds the chunks of one recipe.
	MaxChunks = 1 << 20
	// MaxPacks bounds the packs that one recipe refers to.
	MaxPacks = 1 << 16
	// MaxPackSize bounds a pack, in bytes.
	MaxPackSize = 64 << 20
)

// Codec says how a chunk's bytes lie in a pack.
type Codec uint8

const (
	// CodecRaw is the bytes themselves.
	CodecRaw Codec = iota
	// CodecZstd is one zstd frame.
	CodecZstd
)

// A Chunk is one piece of a part. A chunk of zeros has the zero Digest and is
// never stored.
type Chunk struct {
	// Offset is where the chunk begins in the part, Length its size; both in bytes.
	Offset int64
	Length uint32
	// Digest of the chunk's bytes.
	Digest Digest
}

// Zero reports whether c is a run of zeros.
func (c Chunk) Zero() bool { return c.Digest.IsZero() }

// A Pack is an object in a bucket that holds chunks; Digest and Size are those
// of the whole object.
type Pack struct {
	Digest Digest
	Size   uint32
}

// A Location is where a chunk lies in a bucket.
type Location struct {
	Pack Pack
	// Offset and StoredLength are the chunk's place in the pack, in bytes.
	Offset       uint32
	StoredLength uint32
	Codec        Codec
}

// place is a Location with its pack's number in the recipe's pack table.
type place struct {
	pack, offset, stored uint32
	codec                Codec
}

// A Recipe is the ordered list of the chunks that a part consists of. A
// recipe in a bucket is located: it also says where each chunk lies. The zero
// Recipe is empty and ready to be appended to. A Recipe that nobody appends to
// may be read by many goroutines.
type Recipe struct {
	ends    []int64 // where each chunk ends in the part
	digests []Digest
	// places has one element a chunk in a located recipe, and none else.
	places []place
	packs  []Pack
	// packIndex finds a pack's number while a located recipe is built.
	packIndex map[Digest]uint32
}

// Len returns the number of chunks.
func (r *Recipe) Len() int { return len(r.ends) }

// Size returns the size of the part, in bytes.
func (r *Recipe) Size() int64 {
	if len(r.ends) == 0 {
		return 0
	}
	return r.ends[len(r.ends)-1]
}

// Located reports whether the recipe says where its chunks lie.
func (r *Recipe) Located() bool { return len(r.ends) > 0 && len(r.places) == len(r.ends) }

// Packs returns the packs that a located recipe refers to. The caller must not
// change the slice.
func (r *Recipe) Packs() []Pack { return r.packs }

// Append adds a chunk at the end of the part. The zero digest says that the
// chunk is zeros; such chunks that follow each other become one, so that the
// same content gives the same recipe. The error is ErrInvalidArgument for a length
// out of bounds and ErrResourceExhausted for a recipe that is full.
func (r *Recipe) Append(length uint32, digest Digest) error {
	if len(r.places) > 0 {
		return fmt.Errorf("append chunk: the recipe is located: %w", errdefs.ErrFailedPrecondition)
	}
	return r.append(length, digest)
}

func (r *Recipe) append(length uint32, digest Digest) error {
	if err := checkChunk(length, digest); err != nil {
		return fmt.Errorf("append chunk: %w", err)
	}
	n := len(r.ends)
	if digest.IsZero() && n > 0 && r.digests[n-1].IsZero() && len(r.places) == 0 {
		if last := r.Chunk(n - 1); uint64(last.Length)+uint64(length) <= maxZeroRun {
			r.ends[n-1] += int64(length)
			return nil
		}
	}
	if n >= MaxChunks {
		return fmt.Errorf("append chunk: the recipe has %d chunks already: %w", n, errdefs.ErrResourceExhausted)
	}
	if r.Size()+int64(length) > MaxPartSize {
		return fmt.Errorf("append chunk: the part would exceed %d bytes: %w", int64(MaxPartSize), errdefs.ErrInvalidArgument)
	}
	r.ends = append(r.ends, r.Size()+int64(length))
	r.digests = append(r.digests, digest)
	return nil
}

// maxZeroRun is the longest run of zeros in one chunk: a multiple of every
// page size that fits into 32 bits.
const maxZeroRun = 1 << 31

func checkChunk(length uint32, digest Digest) error {
	switch {
	case length == 0:
		return fmt.Errorf("length 0: %w", errdefs.ErrInvalidArgument)
	case digest.IsZero() && length > maxZeroRun:
		return fmt.Errorf("%d zeros, at most %d are allowed: %w", length, int64(maxZeroRun), errdefs.ErrInvalidArgument)
	case !digest.IsZero() && length > MaxChunkSize:
		return fmt.Errorf("length %d, at most %d is allowed: %w", length, MaxChunkSize, errdefs.ErrInvalidArgument)
	}
	return nil
}

// AppendLocated adds a chunk that lies at loc; loc is ignored for zeros. A
// recipe is either located from its first chunk on or not at all.
func (r *Recipe) AppendLocated(length uint32, digest Digest, loc Location) error {
	if len(r.places) != len(r.ends) {
		return fmt.Errorf("append located chunk: the recipe is not located: %w", errdefs.ErrFailedPrecondition)
	}
	var p place
	if !digest.IsZero() {
		if err := checkLocation(length, loc); err != nil {
			return fmt.Errorf("append located chunk: %w", err)
		}
		if r.packIndex == nil {
			r.packIndex = map[Digest]uint32{}
		}
		index, ok := r.packIndex[loc.Pack.Digest]
		if !ok {
			if len(r.packs) >= MaxPacks {
				return fmt.Errorf("append located chunk: the recipe has %d packs already: %w", len(r.packs), errdefs.ErrResourceExhausted)
			}
			index = uint32(len(r.packs))
			r.packs = append(r.packs, loc.Pack)
			r.packIndex[loc.Pack.Digest] = index
		}
		p = place{pack: index, offset: loc.Offset, stored: loc.StoredLength, codec: loc.Codec}
	}
	if err := r.append(length, digest); err != nil {
		return err
	}
	r.places = append(r.places, p)
	return nil
}

// checkLocation refuses a place outside of its pack or of a wrong length.
func checkLocation(length uint32, loc Location) error {
	switch {
	case loc.Pack.Size > MaxPackSize:
		return fmt.Errorf("pack %s: size %d, at most %d is allowed: %w",
			loc.Pack.Digest, loc.Pack.Size, MaxPackSize, errdefs.ErrInvalidArgument)
	case uint64(loc.Offset)+uint64(loc.StoredLength) > uint64(loc.Pack.Size):
		return fmt.Errorf("pack %s: chunk at %d+%d lies behind its end %d: %w",
			loc.Pack.Digest, loc.Offset, loc.StoredLength, loc.Pack.Size, errdefs.ErrInvalidArgument)
	case loc.Codec > CodecZstd:
		return fmt.Errorf("codec %d is unknown: %w", loc.Codec, errdefs.ErrInvalidArgument)
	case loc.Codec == CodecRaw && loc.StoredLength != length,
		loc.Codec == CodecZstd && (loc.StoredLength == 0 || loc.StoredLength >= length):
		return fmt.Errorf("stored length %d does not fit a chunk of %d bytes: %w", loc.StoredLength, length, errdefs.ErrInvalidArgument)
	}
	return nil
}

// Chunk returns chunk i, which must be in [0, Len).
func (r *Recipe) Chunk(i int) Chunk {
	var start int64
	if i > 0 {
		start = r.ends[i-1]
	}
	return Chunk{Offset: start, Length: uint32(r.ends[i] - start), Digest: r.digests[i]}
}

// Location returns where chunk i lies. The recipe must be located and the
// chunk not zeros.
func (r *Recipe) Location(i int) Location {
	p := r.places[i]
	return Location{Pack: r.packs[p.pack], Offset: p.offset, StoredLength: p.stored, Codec: p.codec}
}

// Find returns the index of the chunk that holds the byte at offset, and false
// outside of the part. It takes O(log n).
func (r *Recipe) Find(offset int64) (int, bool) {
	if offset < 0 || offset >= r.Size() {
		return 0, false
	}
	return sort.Search(len(r.ends), func(i int) bool { return r.ends[i] > offset }), true
}

// Root returns the digest of the chunk list: the SHA-256 of each chunk's
// length (32 bits, little endian) and digest, one after the other, behind a
// tag. It identifies the part's bytes, does not depend on where they lie, and
// is the Digest of the Part in a manifest.
func (r *Recipe) Root() Digest {
	h := newRootHash()
	for i := range r.ends {
		c := r.Chunk(i)
		addToRoot(h, c.Length, c.Digest)
	}
	return Digest(h.Sum(nil))
}

// rootTag keeps the roots of recipes apart from digests of anything else.
const rootTag = "ateom recipe root 1\n"

func newRootHash() hash.Hash {
	h := sha256.New()
	h.Write([]byte(rootTag))
	return h
}

func addToRoot(h hash.Hash, length uint32, digest Digest) {
	var buf [4 + sha256.Size]byte
	binary.LittleEndian.PutUint32(buf[:], length)
	copy(buf[4:], digest[:])
	h.Write(buf[:])
}
