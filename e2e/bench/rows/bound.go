// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"fmt"

	"github.com/ateom/ateom/e2e/bench/roof"
)

// seconds returns how long bytes take at the named rate of the roof, or 0 where
// it was not measured.
func (b *Bench) seconds(name string, bytes float64) float64 {
	for _, r := range b.Roof {
		if r.Name == name && r.Value > 0 {
			return bytes / (r.Value * 1e9)
		}
	}
	return 0
}

// savingBound says what a save must do that raw does not.
func (b *Bench) savingBound() string {
	const gib = 1 << 30
	return fmt.Sprintf("What bounds it: every page is hashed and on the disk before memory is given up, which for 1 GiB takes at least "+
		"%.2f s (SHA-256 on two threads) and %.2f s (write and fsync) here, in parallel at best; raw leaves its bytes in the page cache, unhashed.",
		b.seconds(roof.SHA256Two, gib), b.seconds(roof.DiskWrite, gib))
}

// sendingBound says what a Commit must do at least.
func (b *Bench) sendingBound() string {
	const gib = 1 << 30
	return fmt.Sprintf("What bounds it: to hash and compress 1 GiB takes at least %.2f s and %.2f s of one core's time here; "+
		"the store's server and the link run on the same cores.",
		b.seconds(roof.SHA256, gib), b.seconds(roof.ZstdFastest, gib))
}

// startBound is about rows that are mostly runsc's own start.
const startBound = "What bounds it: most of it is runsc's own create and restore, which every peer pays; " +
	"the phases above are what ateom itself says."
