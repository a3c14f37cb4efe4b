// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/artifacts/local"
	"github.com/ateom/ateom/durabledir"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"
)

// beginVolumes starts the capture of volumes that may be in use: what rests in
// them is read now, so that the freeze that follows lasts only for what
// changes meanwhile. The caller closes the passes, those returned with an
// error included.
func beginVolumes(ctx context.Context, dir string, volumes []job.Volume) ([]*durabledir.Pass, error) {
	spool := filepath.Dir(local.DurablePath(dir, "volume"))
	passes := make([]*durabledir.Pass, len(volumes))
	return passes, eachVolume(ctx, volumes, func(ctx context.Context, i int) (err error) {
		if err := artifacts.CheckVolumeName(volumes[i].Name); err != nil {
			return err
		}
		passes[i], err = durabledir.Begin(ctx, volumes[i].Path, nil, durabledir.PassOptions{Spool: spool})
		return err
	})
}

// settleVolumes fixes what the passes capture; the sandbox is frozen meanwhile.
func settleVolumes(ctx context.Context, volumes []job.Volume, passes []*durabledir.Pass) error {
	return eachVolume(ctx, volumes, func(ctx context.Context, i int) error { return passes[i].Settle(ctx) })
}

// eachVolume calls f for every volume, a few at a time.
func eachVolume(ctx context.Context, volumes []job.Volume, f func(ctx context.Context, i int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(2, runtime.GOMAXPROCS(0)))
	for i, v := range volumes {
		group.Go(func() error {
			if err := f(ctx, i); err != nil {
				return fmt.Errorf("capture volume %q: %w", v.Name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// closePasses closes those that were begun.
func closePasses(passes []*durabledir.Pass) {
	for _, p := range passes {
		if p != nil {
			p.Close()
		}
	}
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

// createScratch makes a private file, or empties the one of an attempt before.
func createScratch(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
}

// packVolume writes what a pass has captured as the object that the store will
// hold, and returns it with its part. The caller closes the file.
func packVolume(ctx context.Context, dir, volume string, pass *durabledir.Pass, p *Meter) (_ *os.File, _ artifacts.Part, _ durabledir.Report, err error) {
	part := artifacts.Part{Name: artifacts.DurablePrefix + volume, Encoding: artifacts.TarZstd}
	out, err := createScratch(local.DurablePath(dir, volume))
	if err != nil {
		return nil, part, durabledir.Report{}, err
	}
	defer func() {
		if err != nil {
			out.Close()
		}
	}()
	stored := &hashWriter{w: out, h: sha256.New()}
	encoder, err := zstd.NewWriter(stored, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(tarWindow))
	if err != nil {
		return nil, part, durabledir.Report{}, err
	}
	plain := &hashWriter{w: encoder, h: sha256.New()}
	report, err := pass.Finish(ctx, &meteredWriter{ctx: ctx, w: plain, p: p})
	if err != nil {
		encoder.Close()
		return nil, part, report, err
	}
	if err := encoder.Close(); err != nil {
		return nil, part, report, err
	}
	part.Files = report.Files
	part.Size, part.Digest = plain.n, artifacts.Digest(plain.h.Sum(nil))
	part.StoredSize, part.StoredDigest = stored.n, artifacts.Digest(stored.h.Sum(nil))
	return out, part, report, nil
}

// tarWindow is how far back an archive's compression looks, in bytes. A reader
// needs as much memory; maxTarWindow is what ours is willing to take.
const (
	tarWindow    = 4 << 20
	maxTarWindow = 32 << 20
)
