// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package paxtar

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// A Type is what kind of file an entry is. Its value is the type flag of a tar header.
type Type byte

const (
	Regular     Type = '0'
	Link        Type = '1' // hard link to an earlier entry
	Symlink     Type = '2'
	CharDevice  Type = '3'
	BlockDevice Type = '4'
	Dir         Type = '5'
	FIFO        Type = '6'
)

func (t Type) String() string {
	switch t {
	case Regular:
		return "regular file"
	case Link:
		return "hard link"
	case Symlink:
		return "symlink"
	case CharDevice:
		return "character device"
	case BlockDevice:
		return "block device"
	case Dir:
		return "directory"
	case FIFO:
		return "FIFO"
	}
	return "type " + strconv.QuoteRune(rune(t))
}

// A Time is a point in time as stat(2) has it. Nsec is 0 to 999999999, also
// before 1970.
type Time struct {
	Sec  int64
	Nsec int32
}

// An Extent is a run of a file's bytes that is not a hole.
type Extent struct{ Offset, Length int64 }

// An Xattr is one extended attribute; its value may hold any bytes.
type Xattr struct{ Name, Value string }

// A Header describes one entry.
type Header struct {
	Type Type
	// Name is relative, separated by "/", without empty, "." and ".." elements
	// and without a slash at its end; "." alone is the top of the archive.
	Name string
	// Linkname is what a Symlink holds, or the Name that a Link is another name of.
	Linkname string
	// Mode is the 12 permission bits as in chmod(2).
	Mode     uint32
	UID, GID uint32
	ModTime  Time
	// Size of a Regular file as its reader sees it, holes included.
	Size int64
	// Sparse says that Extents tells where a Regular file has data: ascending,
	// not touching each other, within Size. The entry's content is the extents'
	// bytes one after the other. Otherwise the content is Size bytes.
	Sparse  bool
	Extents []Extent
	// Xattrs are sorted by name.
	Xattrs []Xattr
	// Shared, if it is not empty, is the same for those Regular files in the
	// archives of one snapshot that are one file with several names. Each has
	// the whole content all the same.
	Shared string
	// Major and Minor number a device.
	Major, Minor uint32
}

// Stored returns how many bytes of content follow the header.
func (h *Header) Stored() int64 {
	if h.Type != Regular {
		return 0
	}
	if !h.Sparse {
		return h.Size
	}
	var n int64
	for _, e := range h.Extents {
		n += e.Length
	}
	return n
}

const (
	blockSize = 512
	// maxRecords bounds the pax records of one entry, as in archive/tar.
	maxRecords = 1 << 20
	// MaxExtents bounds the map of one sparse file.
	MaxExtents = 1 << 22
	// maxNumber is the largest number of a 12 byte octal field.
	maxNumber = 1<<33 - 1
	// maxID is the largest number of an 8 byte octal field.
	maxID = 1<<21 - 1
)

// Keywords of pax records, in the order in which they are written.
const (
	keyShared      = "ATEOM.shared"
	keySparseMajor = "GNU.sparse.major"
	keySparseMinor = "GNU.sparse.minor"
	keySparseName  = "GNU.sparse.name"
	keySparseSize  = "GNU.sparse.realsize"
	keyXattr       = "SCHILY.xattr."
	keyGID         = "gid"
	keyCharset     = "hdrcharset"
	keyLinkpath    = "linkpath"
	keyMtime       = "mtime"
	keyPath        = "path"
	keySize        = "size"
	keyUID         = "uid"

	binary = "BINARY" // value of hdrcharset
)

// The name of an extended attribute may hold "=", which ends a keyword: GNU
// tar writes it, and "%", as in a URL.
var (
	escapeXattr   = strings.NewReplacer("%", "%25", "=", "%3D")
	unescapeXattr = strings.NewReplacer("%25", "%", "%3D", "=")
)

// plain reports whether a name can stand in a header without a record.
func plain(name string) bool {
	for i := range len(name) {
		if name[i] >= utf8.RuneSelf {
			return false
		}
	}
	return len(name) <= 100
}
