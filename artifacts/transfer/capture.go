// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/artifacts/local"
	"github.com/ateom/ateom/durabledir"
	"golang.org/x/sync/errgroup"
)

// A volume is a DurableDir on its way into a store.
type volume struct {
	job.Volume
	pass *durabledir.Pass
	// previous is the recipe of the archive that the pass takes unchanged
	// segments from; nil if it takes none.
	previous *artifacts.Recipe
	// root is that of the recipe that was sent, if it was.
	root artifacts.Digest
}

// beginVolumes starts the capture of volumes that may be in use: what rests in
// them is read now, so that the freeze that follows lasts only for what
// changes meanwhile. The passes are closed by Close, also after an error.
func (c *Commit) beginVolumes(ctx context.Context, recipes map[string]*artifacts.Recipe) error {
	spool := filepath.Dir(local.DurablePath(c.dir, "volume"))
	return c.eachVolume(ctx, func(ctx context.Context, v *volume) (err error) {
		if err := artifacts.CheckVolumeName(v.Name); err != nil {
			return err
		}
		index := c.indexes.read(v.Volume, recipes[v.Name])
		if index != nil {
			v.previous = recipes[v.Name]
		}
		v.pass, err = durabledir.Begin(ctx, v.Path, index, durabledir.PassOptions{
			CaptureOptions: durabledir.CaptureOptions{SizeLimit: v.SizeLimit}, Spool: spool, KeepIndex: c.indexes != "",
		})
		return err
	})
}

// eachVolume calls f for every volume, a few at a time.
func (c *Commit) eachVolume(ctx context.Context, f func(ctx context.Context, v *volume) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(2, runtime.GOMAXPROCS(0)))
	for i := range c.volumes {
		v := &c.volumes[i]
		group.Go(func() error {
			if err := f(ctx, v); err != nil {
				return fmt.Errorf("capture volume %q: %w", v.Name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// notes returns what a report says of a volume that could not be kept.
func notes(volume string, r durabledir.Report) []string {
	var warnings []string
	for _, w := range r.Warnings {
		warnings = append(warnings, fmt.Sprintf("volume %q: %s", volume, w))
	}
	for _, s := range r.Skipped {
		warnings = append(warnings, fmt.Sprintf("volume %q: skipped %s", volume, s))
	}
	return warnings
}
