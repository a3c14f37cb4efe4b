// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshots

import (
	"context"
	"fmt"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/transfer"
	"github.com/ateom/ateom/cmd/ctr-ateom/node"
)

// moving is a store of snapshots that do not verify: one is damaged, the other has been removed
// since it was listed.
type moving struct{ node.Store }

const damaged, removed artifacts.ID = "01jd0000010000000000000000", "01jd0000020000000000000000"

func (moving) Name() string { return "moving" }

func (moving) Verify(_ context.Context, id artifacts.ID, _ transfer.Depth, _ *transfer.Meter) error {
	return fmt.Errorf("part pages of %s: %w", id, errdefs.ErrDataLoss)
}

func (moving) Get(_ context.Context, id artifacts.ID) (*artifacts.Manifest, error) {
	if id == removed {
		return nil, errdefs.ErrNotFound
	}
	return &artifacts.Manifest{ID: id}, nil
}

// A snapshot that is removed while all are verified is no damaged one, unless somebody has asked
// for it.
func TestWhatIsRemovedMeanwhileIsNotDamaged(t *testing.T) {
	in := node.Stores{moving{}}
	targets := []node.Found{{Manifest: &artifacts.Manifest{ID: damaged}, In: in}, {Manifest: &artifacts.Manifest{ID: removed}, In: in}}
	for which, want := range map[choice]int{listed: 1, named: 2} {
		verdicts, bad, err := judge(t.Context(), targets, which, transfer.Deep)
		if bad != want || len(verdicts) != want || verdicts[0].ID != damaged || !errdefs.IsDataLoss(err) {
			t.Errorf("named: %v: %d bad, verdicts %v, %v, want %d", which, bad, verdicts, err, want)
		}
	}
}
