// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/artifacts/job"
)

// benchMiB is how much random memory the guest of a benchmark has; set
// ATEOM_BENCH_MIB for another size.
func benchMiB(b *testing.B) int {
	b.Helper()
	text := os.Getenv("ATEOM_BENCH_MIB")
	if text == "" {
		return 256
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// dropCached has the kernel forget the files below dir, which lie on a disk.
func dropCached(b testing.TB, dir string) {
	b.Helper()
	must(b, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := f.Sync(); err != nil {
			return err
		}
		return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	}))
}

// BenchmarkSaveAndRestore puts the seat beside plain files, turn by turn. It
// reports the time of `runsc checkpoint` of a paused sandbox, of `runsc
// restore` until the guest answers for the first time, and until it has read
// all its memory; "cold" is with nothing of the image in the page cache.
func BenchmarkSaveAndRestore(b *testing.B) {
	s := newSandbox(b, "-random="+strconv.Itoa(benchMiB(b)), "-zeroed=0")
	s.start()
	before := s.ask("sum")
	for _, way := range []string{"plain", "seat", "plain cold", "seat cold"} {
		b.Run(way, func(b *testing.B) {
			s.t = b
			way, cold := strings.CutSuffix(way, " cold")
			var save, first, all time.Duration
			for range b.N {
				dir := privateDir(b)
				s.mustRun("pause", s.id)
				start := time.Now()
				if way == "seat" {
					must(b, s.checkpoint(job.Seat{Version: job.SeatVersion, Mode: job.Save, Dir: dir}))
				} else {
					s.mustRun("checkpoint", "--leave-running", "--image-path", dir, s.id)
				}
				save += time.Since(start)
				s.delete()
				image := dir
				if way == "seat" {
					image = s.seatDir(job.Seat{Version: job.SeatVersion, Mode: job.Restore, Dir: dir})
				}
				if cold {
					dropCached(b, dir)
				}
				s.alive = true
				s.mustRun("create", "--bundle", s.bundle(), s.id)
				start = time.Now()
				s.mustRun("restore", "--background", "--detach", "--bundle", s.bundle(), "--image-path", image, s.id)
				if got := s.ask("ping"); got.Nonce != before.Nonce {
					b.Fatalf("the guest has nonce %q, not %q: this was no restore", got.Nonce, before.Nonce)
				}
				first += time.Since(start)
				if got := s.ask("sum"); got.Memory != before.Memory {
					b.Fatal("the guest's memory has changed")
				}
				all += time.Since(start)
				must(b, os.RemoveAll(filepath.Join(dir, "image")))
			}
			b.ReportMetric(0, "ns/op")
			for name, d := range map[string]time.Duration{"save-ms": save, "first-ms": first, "all-ms": all} {
				b.ReportMetric(float64(d.Milliseconds())/float64(b.N), name)
			}
		})
	}
	s.t = b
}
