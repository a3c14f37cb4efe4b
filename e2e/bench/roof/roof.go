// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package roof measures what the machine can do at best: no peer can be faster
// than the memory, disk, hash and codec that it needs. The bench measures it
// first, before anything runs.
package roof

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// A Rate is one line of the roof.
type Rate struct {
	Name string `json:"name"`
	// Value is in Unit: "GB/s" (10⁹ bytes) or "ms".
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
}

// Names of rates that others refer to.
const (
	SHA256      = "SHA-256, one thread"
	SHA256Two   = "SHA-256, two threads"
	ZstdFastest = "zstd level 1, one thread"
	DiskWrite   = "disk write + fsync"
)

// block is how much each rate is measured over; large enough to outgrow caches.
const block = 256 << 20

// rounds is how often each rate is measured; the best counts, as this is a roof.
const rounds = 3

// Measure returns the roof for a bench that writes below dir and runs runsc.
// It takes about ten seconds and leaves nothing behind.
func Measure(ctx context.Context, dir, runsc string) ([]Rate, error) {
	return measure(ctx, dir, runsc, block)
}

// measure measures over size bytes.
func measure(ctx context.Context, dir, runsc string, size int) ([]Rate, error) {
	b := content(size)
	var rates []Rate
	cpu := []struct {
		name string
		work func() error
	}{
		{"memcpy, one thread", copying(b)},
		{SHA256, func() error { sha256.Sum256(b); return nil }},
		{SHA256Two, hashing(b, 2)},
		{ZstdFastest, compressing(b, zstd.SpeedFastest)},
		{"zstd level 3, one thread", compressing(b, zstd.SpeedDefault)},
		{DiskWrite, writing(b, filepath.Join(dir, "roof"))},
		{"disk read, not cached", readingCold(filepath.Join(dir, "roof"))},
		{"file read, cached", reading(filepath.Join(dir, "roof"))},
	}
	defer os.Remove(filepath.Join(dir, "roof"))
	for _, c := range cpu {
		best, err := best(ctx, c.work)
		if err != nil {
			return nil, fmt.Errorf("measure %s: %w", c.name, err)
		}
		rates = append(rates, Rate{c.name, float64(size) / best.Seconds() / 1e9, "GB/s"})
	}
	small := []struct {
		name string
		work func() error
	}{
		{"write + fsync of 4 KiB", writing(b[:4096], filepath.Join(dir, "roof"))},
		{"runsc --version (a process start)", func() error { return exec.CommandContext(ctx, runsc, "--version").Run() }},
	}
	for _, c := range small {
		best, err := best(ctx, c.work)
		if err != nil {
			return nil, fmt.Errorf("measure %s: %w", c.name, err)
		}
		rates = append(rates, Rate{c.name, best.Seconds() * 1e3, "ms"})
	}
	return rates, nil
}

// best returns the shortest time that work took.
func best(ctx context.Context, work func() error) (time.Duration, error) {
	var took []time.Duration
	for range rounds {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		start := time.Now()
		if err := work(); err != nil {
			return 0, err
		}
		took = append(took, time.Since(start))
	}
	return slices.Min(took), nil
}

// content is half random, half repeating, page by page, as the workloads' memory is.
func content(n int) []byte {
	b := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{1})
	text := bytes.Repeat([]byte("the same words again and again; "), 64)
	for i := 0; i < n; i += 4096 {
		rng.Read(b[i : i+2048])
		copy(b[i+2048:i+4096], text)
	}
	return b
}

func copying(b []byte) func() error {
	to := make([]byte, len(b))
	return func() error { copy(to, b); return nil }
}

func hashing(b []byte, threads int) func() error {
	return func() error {
		var wg sync.WaitGroup
		for part := range slices.Chunk(b, len(b)/threads) {
			wg.Go(func() { sha256.Sum256(part) })
		}
		wg.Wait()
		return nil
	}
}

func compressing(b []byte, level zstd.EncoderLevel) func() error {
	return func() error {
		enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1))
		if err != nil {
			return err
		}
		defer enc.Close()
		var out []byte
		for piece := range slices.Chunk(b, 1<<20) {
			out = enc.EncodeAll(piece, out[:0])
		}
		return nil
	}
}

func writing(b []byte, path string) func() error {
	return func() error {
		f, err := os.Create(path)
		if err != nil {
			return err
		}
		defer f.Close()
		if _, err := f.Write(b); err != nil {
			return err
		}
		return f.Sync()
	}
}

// readingCold reads the file past the page cache.
func readingCold(path string) func() error {
	return func() error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
			return fmt.Errorf("drop cached pages: %w", err)
		}
		return drain(f)
	}
}

func reading(path string) func() error {
	return func() error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return drain(f)
	}
}

func drain(f *os.File) error {
	b := make([]byte, 1<<20)
	for {
		if _, err := f.Read(b); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}
