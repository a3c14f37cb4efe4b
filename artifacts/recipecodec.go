// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package artifacts

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/errdefs"
)

// The encoding of a recipe; all numbers are little endian.
//
//	header     8  "ATEOMRCP"
//	           2  major version, 1
//	           2  flags: bit 0 = located; others are 0
//	           4  number of chunks
//	           4  number of packs (0 unless located)
//	           4  0
//	           8  size of the part
//	per pack   32 digest, 4 size
//	per chunk  4 length, 32 digest (zeros: a run of zeros)
//	           if located: 4 pack number, 4 offset, 4 stored length, 1 codec
const (
	recipeMagic        = "ATEOMRCP"
	recipeMajor        = 1
	recipeFlagLocated  = 1
	recipeHeaderSize   = 32
	recipePackSize     = 36
	recipeChunkSize    = 36
	recipeLocationSize = 13
)

// MaxRecipeSize bounds an encoded recipe, in bytes.
const MaxRecipeSize = recipeHeaderSize + MaxPacks*recipePackSize + MaxChunks*(recipeChunkSize+recipeLocationSize)

// EncodeRecipe returns r as it is stored. The same recipe gives the same bytes.
func EncodeRecipe(r *Recipe) []byte {
	size := recipeHeaderSize + len(r.packs)*recipePackSize + len(r.ends)*recipeChunkSize
	var flags uint16
	if r.Located() {
		flags |= recipeFlagLocated
		size += len(r.ends) * recipeLocationSize
	}
	le := binary.LittleEndian
	b := make([]byte, 0, size)
	b = append(b, recipeMagic...)
	b = le.AppendUint16(b, recipeMajor)
	b = le.AppendUint16(b, flags)
	b = le.AppendUint32(b, uint32(len(r.ends)))
	b = le.AppendUint32(b, uint32(len(r.packs)))
	b = le.AppendUint32(b, 0)
	b = le.AppendUint64(b, uint64(r.Size()))
	for _, p := range r.packs {
		b = append(b, p.Digest[:]...)
		b = le.AppendUint32(b, p.Size)
	}
	for i := range r.ends {
		c := r.Chunk(i)
		b = le.AppendUint32(b, c.Length)
		b = append(b, c.Digest[:]...)
		if flags&recipeFlagLocated != 0 {
			p := r.places[i]
			b = le.AppendUint32(b, p.pack)
			b = le.AppendUint32(b, p.offset)
			b = le.AppendUint32(b, p.stored)
			b = append(b, byte(p.codec))
		}
	}
	return b
}

// DecodeRecipe reads a recipe from src, which may be hostile: memory is taken
// as the bytes arrive, not as the header promises. It refuses what
// EncodeRecipe would not have written, bytes behind the end included. Every
// error of it is ErrInvalidArgument, but for ErrNotImplemented on an unknown
// version and errors of src.
func DecodeRecipe(src io.Reader) (*Recipe, error) {
	r, err := decodeRecipe(bufio.NewReaderSize(src, 64<<10))
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("decode recipe: it is truncated: %w", errdefs.ErrInvalidArgument)
	}
	if err != nil {
		return nil, fmt.Errorf("decode recipe: %w", err)
	}
	return r, nil
}

func decodeRecipe(src *bufio.Reader) (*Recipe, error) {
	var head [recipeHeaderSize]byte
	if _, err := io.ReadFull(src, head[:]); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	if string(head[:8]) != recipeMagic {
		return nil, fmt.Errorf("it does not begin with %q: %w", recipeMagic, errdefs.ErrInvalidArgument)
	}
	if major := le.Uint16(head[8:]); major != recipeMajor {
		return nil, fmt.Errorf("version %d, this program reads version %d: %w", major, recipeMajor, errdefs.ErrNotImplemented)
	}
	flags, chunks, packs := le.Uint16(head[10:]), le.Uint32(head[12:]), le.Uint32(head[16:])
	located := flags&recipeFlagLocated != 0
	switch {
	case flags&^recipeFlagLocated != 0 || le.Uint32(head[20:]) != 0:
		return nil, fmt.Errorf("unknown flags: %w", errdefs.ErrInvalidArgument)
	case chunks > MaxChunks || packs > MaxPacks || (!located && packs != 0) || (located && chunks == 0):
		return nil, fmt.Errorf("%d chunks in %d packs are out of bounds: %w", chunks, packs, errdefs.ErrInvalidArgument)
	}
	r := new(Recipe)
	table, err := decodePacks(src, packs)
	if err != nil {
		return nil, err
	}
	if err := r.decodeChunks(src, chunks, located, table); err != nil {
		return nil, err
	}
	if len(r.packs) != len(table) {
		return nil, fmt.Errorf("%d of %d packs are used: %w", len(r.packs), len(table), errdefs.ErrInvalidArgument)
	}
	if size := le.Uint64(head[24:]); uint64(r.Size()) != size {
		return nil, fmt.Errorf("the chunks have %d bytes, the header says %d: %w", r.Size(), size, errdefs.ErrInvalidArgument)
	}
	if n, err := io.ReadFull(src, head[:1]); n != 0 {
		return nil, fmt.Errorf("bytes follow its end: %w", errdefs.ErrInvalidArgument)
	} else if !errors.Is(err, io.EOF) {
		return nil, err
	}
	r.packIndex = nil
	return r, nil
}

func decodePacks(src io.Reader, count uint32) ([]Pack, error) {
	var packs []Pack
	seen := map[Digest]bool{}
	for range count {
		var rec [recipePackSize]byte
		if _, err := io.ReadFull(src, rec[:]); err != nil {
			return nil, err
		}
		p := Pack{Digest: Digest(rec[:32]), Size: binary.LittleEndian.Uint32(rec[32:])}
		if p.Digest.IsZero() || seen[p.Digest] {
			return nil, fmt.Errorf("pack %d has no digest of its own: %w", len(packs), errdefs.ErrInvalidArgument)
		}
		seen[p.Digest] = true
		packs = append(packs, p)
	}
	return packs, nil
}

// decodeChunks appends count chunks to r. Each goes through the same checks as
// a chunk that a writer appends. The packs must be in the order of first use.
func (r *Recipe) decodeChunks(src io.Reader, count uint32, located bool, table []Pack) error {
	le := binary.LittleEndian
	rec := make([]byte, recipeChunkSize, recipeChunkSize+recipeLocationSize)
	if located {
		rec = rec[:recipeChunkSize+recipeLocationSize]
	}
	for i := range count {
		if _, err := io.ReadFull(src, rec); err != nil {
			return err
		}
		length, digest := le.Uint32(rec), Digest(rec[4:36])
		if !located {
			if err := r.Append(length, digest); err != nil {
				return fmt.Errorf("chunk %d: %w", i, err)
			}
			if r.Len() != int(i)+1 {
				return fmt.Errorf("chunk %d: a run of zeros is split: %w", i, errdefs.ErrInvalidArgument)
			}
			continue
		}
		loc := Location{Offset: le.Uint32(rec[40:]), StoredLength: le.Uint32(rec[44:]), Codec: Codec(rec[48])}
		number := le.Uint32(rec[36:])
		if digest.IsZero() && (number != 0 || loc != Location{}) {
			return fmt.Errorf("chunk %d: zeros have no place: %w", i, errdefs.ErrInvalidArgument)
		}
		if !digest.IsZero() {
			if int64(number) >= int64(len(table)) || int(number) > len(r.packs) {
				return fmt.Errorf("chunk %d: pack %d of %d: %w", i, number, len(table), errdefs.ErrInvalidArgument)
			}
			loc.Pack = table[number]
		}
		if err := r.AppendLocated(length, digest, loc); err != nil {
			return fmt.Errorf("chunk %d: %w", i, err)
		}
	}
	return nil
}
