// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"fmt"
	"strings"
)

// A raw entry is written as it says, right or wrong.
type raw struct {
	name, prefix, linkname string
	flag                   byte
	records                []string // of an 'x' header before it
	body                   string
	// Overrides of fields; "" means what is right.
	mode, uid, size, mtime, magic, checksum, major, minor string
	padding                                               string
}

// rec makes one record with the right length.
func rec(key, value string) string {
	n := len(key) + len(value) + 3
	for total := n; ; total++ {
		if s := fmt.Sprintf("%d %s=%s\n", total, key, value); len(s) == total {
			return s
		}
	}
}

func (r raw) String() string {
	var b strings.Builder
	if r.records != nil {
		all := strings.Join(r.records, "")
		b.WriteString(raw{name: "x", flag: 'x', body: all}.String())
	}
	or := func(s, right string) string {
		if s == "" {
			return right
		}
		return s
	}
	h := make([]byte, 512)
	copy(h[0:100], r.name)
	copy(h[100:108], or(r.mode, "0000644"))
	copy(h[108:116], or(r.uid, "0000000"))
	copy(h[116:124], "0000000")
	copy(h[124:136], or(r.size, fmt.Sprintf("%011o", len(r.body))))
	copy(h[136:148], or(r.mtime, "00000000001"))
	copy(h[148:156], "        ")
	h[156] = r.flag
	copy(h[157:257], r.linkname)
	copy(h[257:265], or(r.magic, "ustar\x0000"))
	copy(h[329:337], or(r.major, "0000000"))
	copy(h[337:345], or(r.minor, "0000000"))
	copy(h[345:500], r.prefix)
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:156], or(r.checksum, fmt.Sprintf("%06o\x00 ", sum)))
	b.Write(h)
	b.WriteString(r.body)
	if r.padding != "" {
		b.WriteString(r.padding)
	} else {
		b.WriteString(strings.Repeat("\x00", (512-len(r.body)%512)%512))
	}
	return b.String()
}

const tarEnd = 1024

// tarOf makes an archive.
func tarOf(entries ...raw) []byte { return append(noEnd(entries...), make([]byte, tarEnd)...) }

// noEnd makes an archive without its end.
func noEnd(entries ...raw) []byte {
	var b []byte
	for _, e := range entries {
		b = append(b, e.String()...)
	}
	return b
}

func dirEntry(name string) raw { return raw{flag: '5', name: name, mode: "0000755"} }

func fileEntry(name, body string, records ...string) raw {
	return raw{flag: '0', name: name, body: body, records: records}
}

func symlinkEntry(name, to string) raw { return raw{flag: '2', name: name, linkname: to} }

func linkEntry(name, to string) raw { return raw{flag: '1', name: name, linkname: to} }

// sparseRecords are those of the format 1.0.
func sparseRecords(name string, size int64) []string {
	return []string{rec("GNU.sparse.major", "1"), rec("GNU.sparse.minor", "0"),
		rec("GNU.sparse.name", name), rec("GNU.sparse.realsize", fmt.Sprint(size))}
}

// sparseEntry makes a sparse file of a map and data.
func sparseEntry(name string, size int64, lines, data string) raw {
	m := lines + strings.Repeat("\x00", (512-len(lines)%512)%512)
	return raw{flag: '0', name: "GNUSparseFile.0/x", records: sparseRecords(name, size), body: m + data}
}
