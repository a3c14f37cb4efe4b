// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package numbers is what the guest of the tests of streams writes, and is held to.
package numbers

import (
	"fmt"
	"strings"
)

// Kinds of lines.
const (
	Stdout byte = 'o'
	Stderr byte = 'e'
	Stdin  byte = 'i'
)

// longEvery is how often a line is long: no pipe takes one at once.
const longEvery, longLine = 100, 100_000

// Line is line number n of a kind. No two have the same text; some are long if long is set.
func Line(kind byte, n int, long bool) string {
	pad := n % 97
	if long && n%longEvery == longEvery-1 {
		pad = longLine
	}
	return fmt.Sprintf("%c%d %s\n", kind, n, strings.Repeat("x", pad))
}
