// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package job

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"path/filepath"

	"github.com/containerd/errdefs"
)

// A Sum describes a chunk of a part that has no recipe yet: the sandbox stands
// still while it is saved, and to hash a gigabyte then would cost it more time
// than to copy it. A Sum shows whether the bytes are still the same when they are
// hashed.
type Sum struct {
	Length uint32
	CRC    uint32 // CRC-32C
}

// castagnoli has an instruction on the machines that gVisor runs on.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// SumOf returns that of p.
func SumOf(p []byte) Sum {
	return Sum{Length: uint32(len(p)), CRC: crc32.Checksum(p, castagnoli)}
}

// SumsDir is where in a Scratch draft a save leaves the Sums of each part whose
// description has no digest.
const SumsDir = "sums"

// SumsFile returns the path, relative to a draft, of the sums of part.
func SumsFile(part string) string { return filepath.Join(SumsDir, part) }

const sumBytes = 8

// EncodeSums returns the content of a SumsFile: for each chunk in order its
// length in bytes and its CRC-32C, both as 32 bits, little-endian.
func EncodeSums(sums []Sum) []byte {
	b := make([]byte, 0, len(sums)*sumBytes)
	for _, s := range sums {
		b = binary.LittleEndian.AppendUint32(b, s.Length)
		b = binary.LittleEndian.AppendUint32(b, s.CRC)
	}
	return b
}

// DecodeSums is its inverse.
func DecodeSums(b []byte) ([]Sum, error) {
	if len(b)%sumBytes != 0 {
		return nil, fmt.Errorf("decode sums of chunks: %d bytes, want a multiple of %d: %w", len(b), sumBytes, errdefs.ErrDataLoss)
	}
	sums := make([]Sum, 0, len(b)/sumBytes)
	for ; len(b) > 0; b = b[sumBytes:] {
		sums = append(sums, Sum{Length: binary.LittleEndian.Uint32(b), CRC: binary.LittleEndian.Uint32(b[4:])})
	}
	return sums, nil
}
