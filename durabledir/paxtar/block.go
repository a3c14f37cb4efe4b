// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package paxtar

import (
	"bytes"
	"fmt"
)

// parseBlock reads the fields of a ustar header.
func (r *Reader) parseBlock(h []byte) (block, error) {
	if string(h[257:265]) != magic {
		return block{}, r.refuse(ErrFormat, "no ustar header")
	}
	var bad error
	number := func(field string, from, to int) int64 {
		n, err := parseOctal(h[from:to])
		if err != nil && bad == nil {
			bad = r.refuse(ErrFormat, "%s: %v", field, err)
		}
		return n
	}
	sum := number("checksum", 148, 156)
	if bad == nil && sum != checksum(h) {
		return block{}, r.refuse(ErrFormat, "wrong checksum")
	}
	b := block{
		name:     cut(h[0:100]),
		mode:     uint32(number("mode", 100, 108)),
		uid:      uint32(number("uid", 108, 116)),
		gid:      uint32(number("gid", 116, 124)),
		size:     number("size", 124, 136),
		mtime:    number("mtime", 136, 148),
		flag:     h[156],
		linkname: cut(h[157:257]),
		major:    uint32(number("device major", 329, 337)),
		minor:    uint32(number("device minor", 337, 345)),
	}
	if prefix := cut(h[345:500]); prefix != "" {
		b.name = prefix + "/" + b.name
	}
	return b, bad
}

// cut returns a field up to its first NUL.
func cut(field []byte) string {
	if i := bytes.IndexByte(field, 0); i >= 0 {
		field = field[:i]
	}
	return string(field)
}

// parseOctal reads octal digits with spaces before and spaces or NULs behind.
// An empty field is 0. GNU's base-256 numbers are not of this dialect.
func parseOctal(field []byte) (int64, error) {
	digits := bytes.TrimLeft(bytes.TrimRight(field, " \x00"), " ")
	var n int64
	for _, c := range digits {
		if c < '0' || c > '7' {
			return 0, fmt.Errorf("%q is no octal number", field)
		}
		n = n<<3 | int64(c-'0')
	}
	return n, nil
}
