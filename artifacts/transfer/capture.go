// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/artifacts/local"
	"github.com/ateom/ateom/durabledir"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"
)

// tarPath is where a volume's archive waits for its compression, which does
// not happen while the sandbox is frozen.
func tarPath(dir, volume string) string { return local.DurablePath(dir, volume) + ".capture" }

// Capture copies volumes into the draft in dir as archives. The sandbox must
// be frozen meanwhile, so it does no more than that: no digest, no
// compression. The parts have name, encoding, size and files only; the
// sentences say what could not be kept. What it makes is scratch, not durable.
func Capture(ctx context.Context, dir string, volumes []job.Volume) ([]artifacts.Part, []string, error) {
	parts := make([]artifacts.Part, len(volumes))
	reports := make([]durabledir.Report, len(volumes))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(2, runtime.GOMAXPROCS(0)))
	for i, v := range volumes {
		group.Go(func() (err error) {
			parts[i], reports[i], err = captureVolume(ctx, dir, v)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	var warnings []string
	for i, r := range reports {
		for _, w := range r.Warnings {
			warnings = append(warnings, fmt.Sprintf("volume %q: %s", volumes[i].Name, w))
		}
		for _, s := range r.Skipped {
			warnings = append(warnings, fmt.Sprintf("volume %q: skipped %s", volumes[i].Name, s))
		}
	}
	return parts, warnings, nil
}

func captureVolume(ctx context.Context, dir string, v job.Volume) (artifacts.Part, durabledir.Report, error) {
	if err := artifacts.CheckVolumeName(v.Name); err != nil {
		return artifacts.Part{}, durabledir.Report{}, fmt.Errorf("capture volume: %w", err)
	}
	f, err := createScratch(tarPath(dir, v.Name))
	if err != nil {
		return artifacts.Part{}, durabledir.Report{}, fmt.Errorf("capture volume %q: %w", v.Name, err)
	}
	defer f.Close()
	report, err := durabledir.Capture(ctx, v.Path, f, durabledir.CaptureOptions{})
	if err != nil {
		return artifacts.Part{}, report, fmt.Errorf("capture volume %q: %w", v.Name, err)
	}
	info, err := f.Stat()
	if err != nil {
		return artifacts.Part{}, report, fmt.Errorf("capture volume %q: %w", v.Name, err)
	}
	return artifacts.Part{
		Name: artifacts.DurablePrefix + v.Name, Encoding: artifacts.TarZstd,
		Size: info.Size(), Files: report.Files,
	}, report, nil
}

// createScratch makes a private file, or empties the one of an attempt before.
func createScratch(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
}

// compressVolume turns a captured archive into what the store will hold and
// completes its part. The caller closes the file.
func compressVolume(ctx context.Context, dir, volume string, part *artifacts.Part, p *Meter) (*os.File, error) {
	in, err := os.Open(tarPath(dir, volume))
	if err != nil {
		return nil, err
	}
	defer in.Close()
	out, err := createScratch(local.DurablePath(dir, volume))
	if err != nil {
		return nil, err
	}
	if err := compressArchive(ctx, out, in, part, p); err != nil {
		out.Close()
		return nil, err
	}
	if err := os.Remove(in.Name()); err != nil {
		out.Close()
		return nil, err
	}
	return out, nil
}

// compressArchive copies in to out through zstd and sets the part's sizes and digests.
func compressArchive(ctx context.Context, out io.Writer, in io.Reader, part *artifacts.Part, p *Meter) error {
	stored := &hashWriter{w: out, h: sha256.New()}
	encoder, err := zstd.NewWriter(stored, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(tarWindow))
	if err != nil {
		return err
	}
	plain := &hashWriter{w: encoder, h: sha256.New()}
	if _, err := io.Copy(plain, &meteredReader{ctx: ctx, r: in, p: p}); err != nil {
		encoder.Close()
		return err
	}
	if err := encoder.Close(); err != nil {
		return err
	}
	part.Size, part.Digest = plain.n, artifacts.Digest(plain.h.Sum(nil))
	part.StoredSize, part.StoredDigest = stored.n, artifacts.Digest(stored.h.Sum(nil))
	return nil
}

// tarWindow is how far back an archive's compression looks, in bytes. A reader
// needs as much memory; maxTarWindow is what ours is willing to take.
const (
	tarWindow    = 4 << 20
	maxTarWindow = 32 << 20
)
