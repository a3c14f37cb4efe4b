// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
)

const pageSize = 4096

// A memory is what the program holds. Each page is half random bytes and half
// a short text that repeats: it compresses to about a half, as the memory of
// interpreters and caches does, and no two pages are equal.
type memory []byte

func newMemory(mib int, seed uint64) memory {
	m := make(memory, mib<<20)
	for page := 0; page < len(m)/pageSize; page++ {
		m.fill(page, seed)
	}
	return m
}

// fill writes the content that seed gives to one page.
func (m memory) fill(page int, seed uint64) {
	rng := rand.NewPCG(seed, uint64(page))
	p := m[page*pageSize : (page+1)*pageSize]
	for i := 0; i < pageSize/2; i += 8 {
		binary.LittleEndian.PutUint64(p[i:], rng.Uint64())
	}
	for i := pageSize / 2; i < pageSize; {
		i += copy(p[i:], "the same words again and again; ")
	}
}

// touch writes the content that seed gives into percent of the pages, in runs
// of the given number of neighbours spread evenly, and returns how many pages
// it wrote.
func (m memory) touch(percent float64, run int, seed uint64) int {
	pages := len(m) / pageSize
	runs := int(float64(pages)*percent/100) / run
	for i := range runs {
		for j := range run {
			m.fill(i*pages/runs+j, seed)
		}
	}
	return runs * run
}

func (m memory) digest() [sha256.Size]byte { return sha256.Sum256(m) }
