// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
)

// A placed entry lies somewhere in an archive, with its header and padding.
type placed struct {
	offset, length int64
	stored         int64 // bytes of content among them
}

// An Index remembers where an archive has the entries of a volume, and what
// tells that they did not change since. It belongs to one volume on one file
// system and to one archive; with any other it gives wrong answers.
type Index struct{ entries map[string]indexed }

type indexed struct {
	placed
	starts, ends bool // of a segment
	ino          uint64
	mode         uint32
	size         int64
	mtime        [2]int64
	ctime        [2]int64
	link         string // name of the entry that this is a hard link to, or its shared key
}

func newIndex() *Index { return &Index{entries: map[string]indexed{}} }

func describe(e *entry) indexed {
	s := &e.stat
	d := indexed{
		ino: s.ino, mode: s.mode, size: s.size,
		mtime: [2]int64{s.mtime.Sec, int64(s.mtime.Nsec)}, ctime: [2]int64{s.ctime.Sec, int64(s.ctime.Nsec)},
	}
	d.link = e.shared
	if e.link != nil {
		d.link = e.link.path()
	}
	return d
}

func (x *Index) add(e *entry, at placed) {
	d := describe(e)
	d.placed, d.starts, d.ends = at, e.starts, e.ends
	x.entries[e.path()] = d
}

// find returns what the archive has of the entry, if it is as it was.
func (x *Index) find(e *entry) (indexed, bool) {
	old, ok := x.entries[e.path()]
	if !ok {
		return indexed{}, false
	}
	now := describe(e)
	now.placed, now.starts, now.ends = old.placed, old.starts, old.ends
	return old, now == old
}

// indexMagic begins an encoded index; its last byte is the version.
const indexMagic = "ateomix\x01"

// MarshalBinary implements encoding.BinaryMarshaler.
func (x *Index) MarshalBinary() ([]byte, error) {
	names := make([]string, 0, len(x.entries))
	for name := range x.entries {
		names = append(names, name)
	}
	slices.Sort(names)
	b := []byte(indexMagic)
	b = binary.AppendUvarint(b, uint64(len(names)))
	for _, name := range names {
		d := x.entries[name]
		b = appendString(b, name)
		b = appendString(b, d.link)
		b = binary.AppendUvarint(b, d.ino)
		b = binary.AppendUvarint(b, uint64(d.mode))
		b = binary.AppendUvarint(b, edges(d.starts, d.ends))
		for _, n := range []int64{d.size, d.offset, d.length, d.stored, d.mtime[0], d.mtime[1], d.ctime[0], d.ctime[1]} {
			b = binary.AppendVarint(b, n)
		}
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli)), nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// UnmarshalBinary implements encoding.BinaryUnmarshaler. It refuses what was
// cut short, changed, or written by another version.
func (x *Index) UnmarshalBinary(data []byte) error {
	body := len(data) - crc32.Size
	if body < len(indexMagic) || !bytes.HasPrefix(data, []byte(indexMagic)) {
		return errors.New("read index: not an index of this version")
	}
	if crc32.Checksum(data[:body], castagnoli) != binary.LittleEndian.Uint32(data[body:]) {
		return errors.New("read index: wrong checksum")
	}
	d := decoder{rest: data[len(indexMagic):body]}
	count := d.uvarint()
	entries := map[string]indexed{}
	for ; count > 0 && !d.short; count-- {
		name := d.string()
		e := indexed{link: d.string(), ino: d.uvarint(), mode: uint32(d.uvarint())}
		edges := d.uvarint()
		e.starts, e.ends = edges&segmentStarts != 0, edges&segmentEnds != 0
		for _, n := range []*int64{&e.size, &e.offset, &e.length, &e.stored, &e.mtime[0], &e.mtime[1], &e.ctime[0], &e.ctime[1]} {
			*n = d.varint()
		}
		entries[name] = e
	}
	if d.short || len(d.rest) > 0 {
		return fmt.Errorf("read index: %d entries do not fit", count)
	}
	x.entries = entries
	return nil
}

// Bits of an encoded entry.
const (
	segmentStarts = 1 << iota
	segmentEnds
)

func edges(starts, ends bool) (bits uint64) {
	if starts {
		bits |= segmentStarts
	}
	if ends {
		bits |= segmentEnds
	}
	return bits
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// A decoder takes values off the front of its rest, until that is too short.
type decoder struct {
	rest  []byte
	short bool
}

func (d *decoder) uvarint() uint64 {
	n, size := binary.Uvarint(d.rest)
	d.advance(size)
	return n
}

func (d *decoder) varint() int64 {
	n, size := binary.Varint(d.rest)
	d.advance(size)
	return n
}

func (d *decoder) string() string {
	n := d.uvarint()
	if n > uint64(len(d.rest)) {
		d.short = true
		return ""
	}
	s := string(d.rest[:n])
	d.rest = d.rest[n:]
	return s
}

func (d *decoder) advance(size int) {
	if size <= 0 {
		d.short = true
		return
	}
	d.rest = d.rest[size:]
}
