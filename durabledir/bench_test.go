// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ateom/ateom/durabledir/treetest"
)

// makeFiles makes n files of random text in directories of a hundred, bytes in all.
func makeFiles(b testing.TB, dir string, n, bytes int) {
	b.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	buf := make([]byte, 2*bytes/n)
	for i := range n {
		sub := filepath.Join(dir, fmt.Sprintf("package-%d/module", i/100))
		if i%100 == 0 {
			must(b, os.MkdirAll(sub, 0o755))
		}
		content := buf[:1+rng.IntN(len(buf))]
		for j := range content {
			content[j] = "etaoin shrdlu\n"[rng.IntN(14)]
		}
		must(b, os.WriteFile(filepath.Join(sub, fmt.Sprintf("file-%d.py", i)), content, 0o644))
	}
}

// besides runs what a user would run today, its output to nowhere.
func besides(b *testing.B, name string, args ...string) {
	b.Run(name, func(b *testing.B) {
		for b.Loop() {
			cmd := exec.Command(args[0], args[1:]...)
			cmd.Stdout = writerFunc(func(p []byte) (int, error) { return len(p), nil })
			must(b, cmd.Run())
		}
	})
}

func BenchmarkCapture20000Files(b *testing.B) {
	dir := b.TempDir()
	makeFiles(b, dir, 20_000, 200<<20)
	b.Run("capture", func(b *testing.B) {
		for b.Loop() {
			_, err := Capture(context.Background(), dir, io.Discard, CaptureOptions{})
			must(b, err)
		}
	})
	// The whole pass: its price is a copy of everything.
	b.Run("pass", func(b *testing.B) {
		opts := quick(b)
		for b.Loop() {
			pass := begin(b, dir, nil, opts)
			settle(b, pass)
			_, err := pass.Finish(context.Background(), io.Discard)
			must(b, err)
			must(b, pass.Close())
		}
	})
	besides(b, "tar", "tar", "-cf", "-", "--xattrs", "-C", dir, ".")
}

func BenchmarkRestore20000Files(b *testing.B) {
	from := b.TempDir()
	makeFiles(b, from, 20_000, 200<<20)
	data, _ := capture(b, from, CaptureOptions{})
	for name, restore := range map[string]func(dir string) error{
		"restore": func(dir string) error {
			_, err := Restore(context.Background(), bytes.NewReader(data), dir, RestoreOptions{})
			return err
		},
		"tar": func(dir string) error {
			cmd := exec.Command("tar", "-xpf", "-", "--xattrs", "-C", dir)
			cmd.Stdin = bytes.NewReader(data)
			return cmd.Run()
		},
	} {
		b.Run(name, func(b *testing.B) {
			parent := b.TempDir()
			for i := 0; b.Loop(); i++ {
				dir := subdir(b, parent, fmt.Sprint(i))
				must(b, restore(dir))
				b.StopTimer()
				must(b, os.RemoveAll(dir))
				b.StartTimer()
			}
		})
	}
}

// BenchmarkFreeze measures how long a sandbox must be frozen when 10 files have
// changed since Begin, and what taring it all would take.
func BenchmarkFreeze(b *testing.B) {
	for _, files := range []int{1000, 20_000} {
		b.Run(fmt.Sprintf("files=%d", files), func(b *testing.B) {
			dir := b.TempDir()
			makeFiles(b, dir, files, files*10<<10)
			b.Run("settle", func(b *testing.B) { benchmarkSettle(b, dir, files) })
			besides(b, "tar", "tar", "-cf", "-", "--xattrs", "-C", dir, ".")
		})
	}
}

func benchmarkSettle(b *testing.B, dir string, files int) {
	opts := quick(b)
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		pass := begin(b, dir, nil, opts)
		for j := range 10 {
			n := (i*37 + j*97) % files
			treetest.Write(b, filepath.Join(dir, fmt.Sprintf("package-%d/module/file-%d.py", n/100, n)), fmt.Sprint("changed ", i))
		}
		b.StartTimer()
		start := time.Now()
		settle(b, pass)
		took = append(took, time.Since(start))
		b.StopTimer()
		must(b, pass.Close())
		b.StartTimer()
	}
	slices.Sort(took)
	b.ReportMetric(took[len(took)*99/100].Seconds()*1e3, "p99-ms")
}

func BenchmarkCaptureSparse10GiB(b *testing.B) {
	dir := b.TempDir()
	name := filepath.Join(dir, "disk.img")
	f, err := os.Create(name)
	must(b, err)
	defer f.Close()
	must(b, f.Truncate(10<<30))
	data := bytes.Repeat([]byte("data"), 256<<10)
	for i := range int64(100) {
		_, err := f.WriteAt(data, i*100<<20)
		must(b, err)
	}
	b.Run("capture", func(b *testing.B) {
		for b.Loop() {
			_, err := Capture(context.Background(), dir, io.Discard, CaptureOptions{})
			must(b, err)
		}
	})
	besides(b, "tar-S", "tar", "-S", "-cf", "-", "-C", dir, ".")
	besides(b, "tar", "tar", "-cf", "-", "-C", dir, ".")
}
