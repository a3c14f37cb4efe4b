// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"github.com/ateom/ateom/e2e/bench/lab"
	"github.com/ateom/ateom/e2e/bench/report"
)

// A place is where the image of a Pause lies when the Resume begins. Whoever
// saves through the page cache finds it there for a while; a Pause of ateom
// writes around it. Every peer is measured with both.
type place struct {
	name string
	move func(image string) error
	key  string // of the measurement
}

var (
	inCache = place{"in the page cache", lab.Recall, resuming}
	onDisk  = place{"on disk", lab.Forget, resuming + " from disk"}
	places  = []place{inCache, onDisk}
)

// placesText is what rows say about places.
const placesText = "The image is in the page cache, as just after a Pause that writes through it, or only on disk, as long after one; ateom's own Pause leaves it on disk. "

// fromEach returns the series of the names for every place.
func (r results) fromEach(names ...string) (out []report.Series) {
	for _, p := range places {
		for _, s := range r.of(p.key, names...) {
			s.What = p.what(s.What)
			out = append(out, s)
		}
	}
	return out
}

func (p place) what(of string) string { return of + " " + p.name }
