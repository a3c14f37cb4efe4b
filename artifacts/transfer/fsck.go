// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"fmt"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/local"
)

// A Damage is a snapshot of a node's store that cannot be resumed.
type Damage struct {
	ID  artifacts.ID
	Err error
	// Moved is where its directory is now; empty: where it was.
	Moved string
}

// A Repair says what Fsck does about damage.
type Repair bool

const (
	// ReportOnly changes nothing.
	ReportOnly Repair = false
	// SetAside moves damaged snapshots out of the way, where a person can look
	// at them, so that none is resumed by mistake. No byte is deleted.
	SetAside Repair = true
)

// Fsck reads every snapshot of a node's store whole and compares it with its
// manifest. With SetAside it also sweeps what crashes have left. It may run
// beside anything; a snapshot that is removed meanwhile is passed over.
func Fsck(ctx context.Context, store *local.Store, r Repair, p *Meter) ([]Damage, error) {
	ids, err := store.IDs()
	if err != nil {
		return nil, fmt.Errorf("check local store: %w", err)
	}
	var bad []Damage
	for _, id := range ids {
		_, err := VerifyLocal(ctx, store.SnapshotDir(id), p)
		if ctx.Err() != nil {
			return bad, fmt.Errorf("check local store: %w", ctx.Err())
		}
		if err == nil || !store.Has(id) {
			continue
		}
		d := Damage{ID: id, Err: err}
		if r == SetAside {
			if d.Moved, err = store.SetAside(id); err != nil {
				return append(bad, d), err
			}
		}
		bad = append(bad, d)
	}
	if r == SetAside {
		if _, err := store.Sweep(); err != nil {
			return bad, err
		}
	}
	return bad, nil
}
