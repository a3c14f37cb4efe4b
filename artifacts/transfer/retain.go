// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"slices"
	"time"

	"github.com/ateom/ateom/artifacts"
)

// A Retention says which snapshots stay. A snapshot stays if either rule keeps it.
type Retention struct {
	// KeepLast is how many of the newest snapshots of each sandbox stay.
	KeepLast int
	// KeepWithin is how old a snapshot may be.
	KeepWithin time.Duration
}

// Expired returns the snapshots that r does not keep at the time now, oldest
// first. A zero Retention keeps everything: forgetting to set it must not
// delete anything.
func (r Retention) Expired(all []*artifacts.Manifest, now time.Time) []*artifacts.Manifest {
	if r == (Retention{}) {
		return nil
	}
	type lineage struct{ namespace, sandbox string }
	newer := map[lineage]int{}
	sorted := slices.Clone(all)
	slices.SortFunc(sorted, func(a, b *artifacts.Manifest) int { return b.Created.Compare(a.Created) })
	var expired []*artifacts.Manifest
	for _, m := range sorted {
		l := lineage{m.Sandbox.Namespace, m.Sandbox.ID}
		newer[l]++
		if newer[l] > r.KeepLast && now.Sub(m.Created) > r.KeepWithin {
			expired = append(expired, m)
		}
	}
	slices.Reverse(expired)
	return expired
}
