// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package paxtar

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// maxShared bounds the key of a shared file.
const maxShared = 255

// records are the pax records before a header.
type records struct {
	name, linkname    *string
	size, uid, gid    *int64
	mtime             *Time
	major, minor      *int64 // of the sparse format
	sparseName        *string
	realSize          *int64
	xattrs            []Xattr
	shared            string
	seen              map[string]bool
	binary, hasSparse bool
}

func (p *records) sparse() bool { return p.hasSparse }

// records reads the content of an 'x' header.
func (r *Reader) records(b []byte) (*records, error) {
	f, err := r.parseBlock(b)
	if err != nil {
		return nil, err
	}
	if f.size == 0 || f.size > maxRecords {
		return nil, r.refuse(ErrRecord, "%d bytes of records, want 1 to %d", f.size, maxRecords)
	}
	data := make([]byte, f.size)
	n, err := io.ReadFull(r.in, data)
	r.offset += int64(n)
	if err != nil {
		return nil, r.short(err)
	}
	r.pad = -f.size & (blockSize - 1)
	if err := r.padding(); err != nil {
		return nil, err
	}
	p := &records{seen: map[string]bool{}}
	for len(data) > 0 {
		var key, value string
		if key, value, data, err = cutRecord(data); err != nil {
			return nil, r.refuse(ErrRecord, "%v", err)
		}
		if p.seen[key] {
			return nil, r.refuse(ErrRecord, "%s occurs twice", key)
		}
		p.seen[key] = true
		if err := p.set(key, value); err != nil {
			return nil, r.refuse(ErrRecord, "%s: %v", key, err)
		}
	}
	slices.SortFunc(p.xattrs, func(a, b Xattr) int { return cmp.Compare(a.Name, b.Name) })
	return p, nil
}

// cutRecord takes one "length keyword=value\n" off the front of data.
func cutRecord(data []byte) (key, value string, rest []byte, err error) {
	space := bytes.IndexByte(data[:min(len(data), 20)], ' ')
	if space < 1 || data[0] == '0' {
		return "", "", nil, errors.New("no length")
	}
	length, err := strconv.ParseUint(string(data[:space]), 10, 31)
	if err != nil || int(length) <= space+1 || int(length) > len(data) {
		return "", "", nil, fmt.Errorf("length %q does not fit", data[:space])
	}
	record := data[space+1 : length]
	text, ok := bytes.CutSuffix(record, []byte("\n"))
	if !ok {
		return "", "", nil, errors.New("no newline at the end of a record")
	}
	k, v, ok := bytes.Cut(text, []byte("="))
	if !ok || len(k) == 0 {
		return "", "", nil, errors.New("no keyword")
	}
	return string(k), string(v), data[length:], nil
}

// set stores one record. Keywords that only say when or by whom a file was
// seen are passed over; unknown ones are refused, for nobody can know what an
// entry is without them.
func (p *records) set(key, value string) (err error) {
	if name, ok := strings.CutPrefix(key, keyXattr); ok {
		name = unescapeXattr.Replace(name)
		if name == "" || len(name) > maxComponent || strings.IndexByte(name, 0) >= 0 {
			return errors.New("illegal name of an extended attribute")
		}
		p.xattrs = append(p.xattrs, Xattr{Name: name, Value: value})
		return nil
	}
	switch key {
	case keyShared:
		if p.shared = value; value == "" || len(value) > maxShared {
			err = fmt.Errorf("%d bytes, want 1 to %d", len(value), maxShared)
		}
	case keyPath:
		p.name = &value
	case keyLinkpath:
		p.linkname = &value
	case keySparseName:
		p.hasSparse, p.sparseName = true, &value
	case keySize:
		p.size, err = parseDecimal(value, math.MaxInt64)
	case keyUID:
		p.uid, err = parseDecimal(value, math.MaxUint32-1)
	case keyGID:
		p.gid, err = parseDecimal(value, math.MaxUint32-1)
	case keySparseSize:
		p.hasSparse = true
		p.realSize, err = parseDecimal(value, math.MaxInt64)
	case keySparseMajor:
		p.hasSparse = true
		p.major, err = parseDecimal(value, math.MaxInt64)
	case keySparseMinor:
		p.hasSparse = true
		p.minor, err = parseDecimal(value, math.MaxInt64)
	case keyMtime:
		p.mtime, err = parseTime(value)
	case keyCharset:
		if p.binary = value == binary; !p.binary {
			err = fmt.Errorf("%q, want %s", value, binary)
		}
	case "atime", "ctime", "comment", "uname", "gname":
	default:
		err = errors.New("unknown keyword")
	}
	return err
}

// overlay puts the records over what the header itself says.
func (p *records) overlay(r *Reader, h *Header) error {
	if p.sparse() && (p.major == nil || *p.major != 1 || p.minor == nil || *p.minor != 0 || p.sparseName == nil || p.realSize == nil) {
		return r.refuse(ErrSparse, "want GNU.sparse.major=1, minor=0, name and realsize")
	}
	if p.name != nil {
		h.Name = *p.name
	}
	if p.sparseName != nil {
		h.Name = *p.sparseName
	}
	if p.linkname != nil {
		h.Linkname = *p.linkname
	}
	if p.size != nil {
		if h.Size != 0 && h.Size != *p.size {
			return r.refuse(ErrSize, "the header says %d, its record %d", h.Size, *p.size)
		}
		h.Size = *p.size
	}
	if p.uid != nil {
		h.UID = uint32(*p.uid)
	}
	if p.gid != nil {
		h.GID = uint32(*p.gid)
	}
	if p.mtime != nil {
		h.ModTime = *p.mtime
	}
	return nil
}

// parseDecimal reads a number of digits alone, at most limit.
func parseDecimal(s string, limit int64) (*int64, error) {
	if s == "" || len(s) > 19 {
		return nil, fmt.Errorf("%.30q is no number up to %d", s, limit)
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return nil, fmt.Errorf("%q is no number", s)
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n > limit {
		return nil, fmt.Errorf("%q is more than %d", s, limit)
	}
	return &n, nil
}

// parseTime reads what formatTime writes. Decimals beyond the ninth are cut.
func parseTime(s string) (*Time, error) {
	text, negative := strings.CutPrefix(s, "-")
	whole, fraction, _ := strings.Cut(text, ".")
	sec, err := parseDecimal(whole, math.MaxInt64-1)
	if err != nil {
		return nil, err
	}
	if len(fraction) > 9 {
		fraction = fraction[:9]
	}
	nsec := int64(0)
	if fraction != "" {
		n, err := parseDecimal((fraction + "000000000")[:9], 999999999)
		if err != nil {
			return nil, err
		}
		nsec = *n
	}
	t := &Time{Sec: *sec, Nsec: int32(nsec)}
	if negative {
		t.Sec = -t.Sec
		if nsec > 0 {
			t.Sec--
			t.Nsec = int32(1e9 - nsec)
		}
	}
	return t, nil
}
