// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package chunk

import "bytes"

// zeros is compared with; the comparison in package bytes is faster than a loop.
var zeros [64 << 10]byte

// IsZero reports whether p is nothing but zeros. An empty p is.
func IsZero(p []byte) bool {
	for len(p) > len(zeros) {
		if !bytes.Equal(p[:len(zeros)], zeros[:]) {
			return false
		}
		p = p[len(zeros):]
	}
	return bytes.Equal(p, zeros[:len(p)])
}
