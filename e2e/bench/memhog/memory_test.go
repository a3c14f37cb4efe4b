// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"testing"
)

func TestMemoryIsMadeOfItsSeed(t *testing.T) {
	a, b, c := newMemory(1, 7), newMemory(1, 7), newMemory(1, 8)
	if a.digest() != b.digest() {
		t.Error("one seed gave two contents")
	}
	if a.digest() == c.digest() {
		t.Error("two seeds gave one content")
	}
	if bytes.Equal(a[:pageSize], a[pageSize:2*pageSize]) {
		t.Error("two pages are equal: deduplication would make them free")
	}
}

func TestTouchChangesThePercentageAskedFor(t *testing.T) {
	tests := []struct {
		percent float64
		run     int
		want    int // pages
	}{
		{1, 1, 20}, {1, 4, 20}, {100, 256, 2048}, {0, 1, 0}, {1, 64, 0},
	}
	for _, tt := range tests {
		m, old := newMemory(8, 1), newMemory(8, 1)
		got := m.touch(tt.percent, tt.run, 2)
		changed := 0
		for p := 0; p < len(m); p += pageSize {
			if !bytes.Equal(m[p:p+pageSize], old[p:p+pageSize]) {
				changed++
			}
		}
		if got != tt.want || changed != tt.want {
			t.Errorf("touch(%v %%, runs of %d) = %d pages, %d changed, want %d", tt.percent, tt.run, got, changed, tt.want)
		}
	}
}
