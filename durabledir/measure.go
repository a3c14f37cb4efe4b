// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"errors"
	"fmt"

	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/durabledir/paxtar"
)

// ErrSizeLimit says that a volume holds more than it was declared to.
var ErrSizeLimit = fmt.Errorf("the volume holds more than its sizeLimit; remove files, or declare a larger one: %w", errdefs.ErrResourceExhausted)

// Size returns the length of the archive that Finish will write. It is known
// after a Settle with a spool.
func (p *Pass) Size() (int64, error) {
	if !p.settled || p.spool == nil {
		return 0, errors.New("measure archive: it is not settled in a spool")
	}
	total := int64(len(paxtar.End))
	var head []byte
	for i := range p.entries {
		e := &p.entries[i]
		if e.old.length > 0 {
			total += e.old.length
			continue
		}
		var h paxtar.Header
		if e.hasContent() {
			h = e.kept.open(e).Header
		} else {
			h = e.header()
		}
		var err error
		if head, err = paxtar.Append(head[:0], &h); err != nil {
			return 0, fmt.Errorf("capture %q: %w", h.Name, err)
		}
		total += int64(len(head))
		if e.hasContent() {
			total += h.Stored() + int64(len(paxtar.Padding(h.Stored())))
		}
	}
	return total, nil
}

// checkSize refuses a volume whose files have more content than the limit.
// What has not been read yet counts as what it takes on the disk.
func checkSize(entries []entry, limit int64) error {
	if limit <= 0 {
		return nil
	}
	var total int64
	for i := range entries {
		switch e := &entries[i]; {
		case !e.hasContent():
		case e.old.length > 0:
			total += e.old.stored
		case e.kept != nil:
			total += e.kept.open(e).Stored()
		default:
			total += min(e.stat.size, e.stat.blocks*512)
		}
	}
	if total > limit {
		return fmt.Errorf("%w (%d bytes of %d)", ErrSizeLimit, total, limit)
	}
	return nil
}
