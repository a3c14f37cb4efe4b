// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package pack

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/ateom/ateom/artifacts"
	"github.com/containerd/errdefs"
)

// The layout of a pack; all numbers are little endian.
//
//	chunks   stored bytes, back to back from offset 0
//	index    per chunk: 32 digest, 4 length, 4 offset, 4 stored length, 1 codec
//	tail     32  SHA-256 of the index
//	          4  number of chunks
//	          2  major version, 1
//	          2  0
//	          8  "ATEOMPCK"
const (
	magic     = "ATEOMPCK"
	major     = 1
	entrySize = 45
	// TailSize is the size of the fixed end of a pack, in bytes.
	TailSize = 48
)

// A pack of Least bytes is closed behind the next chunk whose digest begins
// with a number below boundary (one in 32 does), one of Target bytes in any
// case: big enough that a request's latency does not matter, small enough that
// a few fit into memory. So packs of the same memory are the same again soon
// behind whatever has changed in it, and an upload that was interrupted goes on.
const (
	Least    = 5 << 20
	Target   = 8 << 20
	boundary = 256 / 32
)

// reserve is room for the chunk that fills a pack and for the index.
const reserve = 256 << 10

// maxEntries bounds the chunks of a pack.
const maxEntries = 1 << 16

// An Entry is a chunk in a pack.
type Entry struct {
	Digest       artifacts.Digest
	Length       uint32
	Offset       uint32
	StoredLength uint32
	Codec        artifacts.Codec
}

// A Builder puts chunks into one pack. It takes Target plus one chunk of
// memory. The zero Builder is empty and ready.
type Builder struct {
	data    []byte
	entries []Entry
}

// Len returns the number of chunks so far.
func (b *Builder) Len() int { return len(b.entries) }

// Full reports whether the pack should be finished before another chunk comes.
func (b *Builder) Full() bool {
	n := len(b.entries)
	return len(b.data) >= Target || n >= maxEntries ||
		len(b.data) >= Least && b.entries[n-1].Digest[0] < boundary
}

// Add appends a chunk of the given length and digest, stored as Compress said,
// and returns its number among Entries.
func (b *Builder) Add(digest artifacts.Digest, length uint32, stored []byte, codec artifacts.Codec) int {
	b.entries = append(b.entries, Entry{
		Digest: digest, Length: length,
		Offset: uint32(len(b.data)), StoredLength: uint32(len(stored)), Codec: codec,
	})
	if b.data == nil {
		// All at once: growing by doubling would take twice the memory.
		b.data = make([]byte, 0, Target+reserve)
	}
	b.data = append(b.data, stored...)
	return len(b.entries) - 1
}

// Entries returns what was added, in order. The caller must not change it.
func (b *Builder) Entries() []Entry { return b.entries }

// Finish ends the pack and returns it with its name and size. The bytes are
// the builder's own until Reset.
func (b *Builder) Finish() (artifacts.Pack, []byte) {
	le := binary.LittleEndian
	start := len(b.data)
	for _, e := range b.entries {
		b.data = append(b.data, e.Digest[:]...)
		b.data = le.AppendUint32(b.data, e.Length)
		b.data = le.AppendUint32(b.data, e.Offset)
		b.data = le.AppendUint32(b.data, e.StoredLength)
		b.data = append(b.data, byte(e.Codec))
	}
	sum := sha256.Sum256(b.data[start:])
	b.data = append(b.data, sum[:]...)
	b.data = le.AppendUint32(b.data, uint32(len(b.entries)))
	b.data = le.AppendUint16(b.data, major)
	b.data = le.AppendUint16(b.data, 0)
	b.data = append(b.data, magic...)
	return artifacts.Pack{Digest: sha256.Sum256(b.data), Size: uint32(len(b.data))}, b.data
}

// Reset empties the builder and keeps its memory.
func (b *Builder) Reset() { b.data, b.entries = b.data[:0], b.entries[:0] }

// IndexSize returns the size of the index of the pack that ends with tail,
// which is TailSize bytes long, of a pack of the given size. The index lies
// right before the tail. The error is ErrDataLoss for what is no pack's tail.
func IndexSize(tail []byte, size int64) (int64, error) {
	le := binary.LittleEndian
	if len(tail) != TailSize || size > artifacts.MaxPackSize || string(tail[40:]) != magic {
		return 0, fmt.Errorf("read pack's tail: it is no pack: %w", errdefs.ErrDataLoss)
	}
	if v := le.Uint16(tail[36:]); v != major || le.Uint16(tail[38:]) != 0 {
		return 0, fmt.Errorf("read pack's tail: version %d, this program reads version %d: %w", v, major, errdefs.ErrNotImplemented)
	}
	n := int64(le.Uint32(tail[32:]))
	if n > maxEntries || n*entrySize+TailSize > size {
		return 0, fmt.Errorf("read pack's tail: %d chunks do not fit: %w", n, errdefs.ErrDataLoss)
	}
	return n * entrySize, nil
}

// DecodeIndex reads the index and tail of a pack of the given size: the last
// IndexSize + TailSize bytes of it. It refuses what no Builder wrote, with
// ErrDataLoss.
func DecodeIndex(end []byte, size int64) ([]Entry, error) {
	if len(end) < TailSize {
		return nil, fmt.Errorf("read pack's index: it is truncated: %w", errdefs.ErrDataLoss)
	}
	index, tail := end[:len(end)-TailSize], end[len(end)-TailSize:]
	n, err := IndexSize(tail, size)
	if err != nil {
		return nil, err
	}
	if int64(len(index)) != n || sha256.Sum256(index) != [32]byte(tail[:32]) {
		return nil, fmt.Errorf("read pack's index: its bytes have another digest: %w", errdefs.ErrDataLoss)
	}
	le := binary.LittleEndian
	entries := make([]Entry, 0, n/entrySize)
	var offset uint32
	for ; len(index) > 0; index = index[entrySize:] {
		e := Entry{
			Digest: artifacts.Digest(index[:32]), Length: le.Uint32(index[32:]),
			Offset: le.Uint32(index[36:]), StoredLength: le.Uint32(index[40:]), Codec: artifacts.Codec(index[44]),
		}
		if e.Offset != offset || e.Length == 0 || e.Length > artifacts.MaxChunkSize || e.StoredLength > e.Length ||
			e.Codec > artifacts.CodecZstd || e.Digest.IsZero() {
			return nil, fmt.Errorf("read pack's index: entry %d is out of bounds: %w", len(entries), errdefs.ErrDataLoss)
		}
		offset += e.StoredLength
		if int64(offset) > size-n-TailSize {
			return nil, fmt.Errorf("read pack's index: entry %d lies behind the chunks: %w", len(entries), errdefs.ErrDataLoss)
		}
		entries = append(entries, e)
	}
	if int64(offset) != size-n-TailSize {
		return nil, fmt.Errorf("read pack's index: %d bytes belong to no chunk: %w", size-n-TailSize-int64(offset), errdefs.ErrDataLoss)
	}
	return entries, nil
}
