// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/ateom/ateom/artifacts"
)

// A plan says in which requests the chunks of a part are read.
type plan struct {
	recipe *artifacts.Recipe
	// order has the numbers of all chunks that are stored, by their place.
	order []int32
	spans []span
}

// newPlan makes the plan of a located recipe.
func newPlan(r *artifacts.Recipe) *plan {
	p := &plan{recipe: r}
	for i := range r.Len() {
		if !r.Chunk(i).Zero() {
			p.order = append(p.order, int32(i))
		}
	}
	slices.SortFunc(p.order, func(a, b int32) int {
		l, m := r.Location(int(a)), r.Location(int(b))
		return cmp.Or(bytes.Compare(l.Pack.Digest[:], m.Pack.Digest[:]), cmp.Compare(l.Offset, m.Offset), cmp.Compare(a, b))
	})
	for n, i := range p.order {
		l := r.Location(int(i))
		end := l.Offset + l.StoredLength
		if len(p.spans) > 0 {
			last := &p.spans[len(p.spans)-1]
			if last.pack.Digest == l.Pack.Digest && l.Offset <= last.end+maxGap && end-last.start <= maxSpan {
				last.end, last.last = max(last.end, end), n+1
				continue
			}
		}
		p.spans = append(p.spans, span{pack: l.Pack, start: l.Offset, end: end, first: n, last: n + 1})
	}
	return p
}

// largest returns the size of the longest span, in bytes.
func (p *plan) largest() int {
	n := 0
	for _, sp := range p.spans {
		n = max(n, int(sp.end-sp.start))
	}
	return n
}
