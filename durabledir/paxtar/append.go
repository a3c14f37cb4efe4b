// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package paxtar

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// End is what follows the last entry of an archive.
var End = make([]byte, 2*blockSize)

var zeros [blockSize]byte

// Padding returns the zero bytes that follow n bytes of content. They may not
// be changed.
func Padding(n int64) []byte { return zeros[:-n&(blockSize-1)] }

// Append appends an entry's header to an archive; h.Stored() bytes of content
// and their Padding follow it. What is appended does not depend on its place,
// so that pieces of an archive can be made apart from each other.
func Append(to []byte, h *Header) ([]byte, error) {
	name := h.Name
	if h.Type == Dir {
		name += "/"
	}
	sparse := h.Type == Regular && h.Sparse
	var sparseMap []byte
	stored := h.Stored()
	if sparse {
		sparseMap = encodeMap(h)
		stored += int64(len(sparseMap))
	}
	start := len(to)
	to = append(to, zeros[:]...) // place for the 'x' header
	to = appendRecords(to, h, name, stored)
	switch size := len(to) - start - blockSize; {
	case size > maxRecords:
		return nil, fmt.Errorf("write header of %q: names and extended attributes take %d bytes, more than %d", h.Name, size, maxRecords)
	case size == 0:
		to = to[:start]
	default:
		putBlock(to[start:], block{name: "PaxHeader", mode: 0o644, size: int64(size), flag: 'x'})
		to = append(to, Padding(int64(size))...)
	}
	if sparse {
		name = "GNUSparseFile.0/" + name[strings.LastIndexByte(name, '/')+1:]
	}
	start = len(to)
	to = append(to, zeros[:]...)
	putBlock(to[start:], block{
		name: name, linkname: h.Linkname, mode: h.Mode, uid: h.UID, gid: h.GID, size: stored,
		mtime: h.ModTime.Sec, major: h.Major, minor: h.Minor, flag: byte(h.Type),
	})
	return append(to, sparseMap...), nil
}

// appendRecords appends what does not fit into the header itself.
func appendRecords(to []byte, h *Header, name string, stored int64) []byte {
	sparse := h.Type == Regular && h.Sparse
	if h.Shared != "" {
		to = appendRecord(to, keyShared, "", h.Shared)
	}
	if sparse {
		to = appendRecord(to, keySparseMajor, "", "1")
		to = appendRecord(to, keySparseMinor, "", "0")
		to = appendRecord(to, keySparseName, "", name)
		to = appendRecord(to, keySparseSize, "", strconv.FormatInt(h.Size, 10))
	}
	for _, x := range h.Xattrs {
		to = appendRecord(to, keyXattr, escapeXattr.Replace(x.Name), x.Value)
	}
	if h.GID > maxID {
		to = appendRecord(to, keyGID, "", strconv.FormatUint(uint64(h.GID), 10))
	}
	if !utf8.ValidString(name) || !utf8.ValidString(h.Linkname) {
		to = appendRecord(to, keyCharset, "", binary)
	}
	if !plain(h.Linkname) {
		to = appendRecord(to, keyLinkpath, "", h.Linkname)
	}
	if t := h.ModTime; t.Nsec != 0 || t.Sec < 0 || t.Sec > maxNumber {
		to = appendRecord(to, keyMtime, "", formatTime(t))
	}
	if !sparse && !plain(name) {
		to = appendRecord(to, keyPath, "", name)
	}
	if stored > maxNumber {
		to = appendRecord(to, keySize, "", strconv.FormatInt(stored, 10))
	}
	if h.UID > maxID {
		to = appendRecord(to, keyUID, "", strconv.FormatUint(uint64(h.UID), 10))
	}
	return to
}

// appendRecord appends "length keyword=value\n", where length counts itself.
// The keyword comes in two halves, to build no strings.
func appendRecord(to []byte, key, rest, value string) []byte {
	size := len(" =\n") + len(key) + len(rest) + len(value)
	total := size + digits(size)
	total = size + digits(total)
	to = strconv.AppendInt(to, int64(total), 10)
	to = append(to, ' ')
	to = append(to, key...)
	to = append(to, rest...)
	to = append(to, '=')
	to = append(to, value...)
	return append(to, '\n')
}

func digits(n int) int { return len(strconv.Itoa(n)) }

// encodeMap returns the map of a sparse file in whole blocks. A hole at the
// end is told by an empty extent there, as GNU tar does.
func encodeMap(h *Header) []byte {
	extents := h.Extents
	if n := len(extents); n == 0 || extents[n-1].Offset+extents[n-1].Length < h.Size {
		extents = append(extents[:n:n], Extent{Offset: h.Size})
	}
	b := strconv.AppendInt(nil, int64(len(extents)), 10)
	b = append(b, '\n')
	for _, e := range extents {
		b = strconv.AppendInt(b, e.Offset, 10)
		b = append(b, '\n')
		b = strconv.AppendInt(b, e.Length, 10)
		b = append(b, '\n')
	}
	return append(b, Padding(int64(len(b)))...)
}

// formatTime writes seconds with up to nine decimals, the sign in front.
func formatTime(t Time) string {
	sec, nsec, sign := t.Sec, int64(t.Nsec), ""
	if sec < 0 {
		sign = "-"
		sec = -sec
		if nsec > 0 {
			sec--
			nsec = 1e9 - nsec
		}
	}
	s := sign + strconv.FormatUint(uint64(sec), 10)
	if nsec == 0 {
		return s
	}
	return s + "." + strings.TrimRight(fmt.Sprintf("%09d", nsec), "0")
}

// A block is the 512 bytes of a ustar header, before it is encoded.
type block struct {
	name, linkname string
	mode, uid, gid uint32
	size, mtime    int64
	major, minor   uint32
	flag           byte
}

// putBlock encodes b at the front of h, which is zero there. A number that does
// not fit is written as 0 and a name that does not fit is cut: records tell them.
func putBlock(h []byte, b block) {
	putName(h[0:100], b.name)
	putOctal(h[100:108], int64(b.mode))
	putOctal(h[108:116], int64(b.uid))
	putOctal(h[116:124], int64(b.gid))
	putOctal(h[124:136], b.size)
	putOctal(h[136:148], b.mtime)
	h[156] = b.flag
	putName(h[157:257], b.linkname)
	copy(h[257:265], magic)
	putOctal(h[329:337], int64(b.major))
	putOctal(h[337:345], int64(b.minor))
	putOctal(h[148:155], checksum(h))
	h[155] = ' '
}

const magic = "ustar\x0000"

func putName(field []byte, name string) {
	if len(name) > len(field) {
		name = strings.TrimRight(name[:len(field)], "/")
	}
	copy(field, name)
}

// putOctal fills all but the last byte of a field, which stays NUL.
func putOctal(field []byte, n int64) {
	width := len(field) - 1
	if n < 0 || n >= 1<<(3*width) {
		n = 0
	}
	for i := width - 1; i >= 0; i-- {
		field[i] = '0' + byte(n&7)
		n >>= 3
	}
}

// checksum adds all bytes of a header, its own field taken as spaces.
func checksum(h []byte) int64 {
	sum := int64(8 * ' ')
	for i, c := range h[:blockSize] {
		if i < 148 || i >= 156 {
			sum += int64(c)
		}
	}
	return sum
}
