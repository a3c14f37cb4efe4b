// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/ateom/ateom/artifacts/job"
)

// BenchmarkRestoreOverALink restores from stores at several distances, with 100
// MB/s a connection: without a record of the working set, and then with the one
// that the first restore has made. The guest answers when it has read a page in
// every second stretch of memory that runsc waits for as a whole. It reports the
// time of `runsc restore` until the guest answers, how many percent of the pages
// the store had sent by then, and the time until all memory was there.
func BenchmarkRestoreOverALink(b *testing.B) {
	s := newSandbox(b, "-random="+strconv.Itoa(benchMiB(b)), "-zeroed=0")
	s.start()
	before := s.ask("sum")
	draft, err := s.save()
	if err != nil {
		b.Fatal(err)
	}
	s.delete()
	url, storeDir, id := upload(b, draft)
	var record []byte
	for _, c := range []struct {
		firstByte time.Duration
		way       string
	}{
		{0, "cold"}, {0, "recorded"},
		{20 * time.Millisecond, "cold"}, {20 * time.Millisecond, "recorded"},
		{100 * time.Millisecond, "cold"}, {100 * time.Millisecond, "recorded"},
	} {
		b.Run(c.firstByte.String()+"/"+c.way, func(b *testing.B) {
			s.t = b
			var first, all time.Duration
			var percent float64
			for range b.N {
				l := &link{dir: storeDir, firstByte: c.firstByte, rate: 100 << 20}
				dir := fetchLazily(b, url, id)
				if c.way == "recorded" && record != nil {
					must(b, os.WriteFile(filepath.Join(dir, workingSetName), record, 0o600))
				}
				control := filepath.Join(privateDir(b), "c")
				status := filepath.Join(b.TempDir(), "status")
				image := s.seatDir(job.Seat{
					Version: job.SeatVersion, Mode: job.Restore, Dir: dir, Store: l.store(b), Control: control, Status: status,
				})
				s.rewind(before)
				s.alive = true
				s.mustRun("create", "--bundle", s.bundle(), s.id)
				start := time.Now()
				s.mustRun("restore", "--background", "--detach", "--bundle", s.bundle(), "--image-path", image, s.id)
				if got := s.ask("scatter"); got.Nonce != before.Nonce {
					b.Fatal("this was no restore")
				}
				first += time.Since(start)
				sent := l.sent.Load()
				if exists(b, control) { // it is gone if all has been loaded
					tell(b, control, job.SeatControl{Pace: job.PaceFull})
				}
				if got := s.ask("sum"); got.Memory != before.Memory {
					b.Fatal("the guest's memory has changed")
				}
				all += time.Since(start)
				percent += 100 * float64(sent) / float64(readStatus(b, status).Total)
				s.delete()
				if body, err := os.ReadFile(filepath.Join(dir, workingSetName)); err == nil {
					record = body
				}
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(first.Milliseconds())/float64(b.N), "first-ms")
			b.ReportMetric(float64(all.Milliseconds())/float64(b.N), "all-ms")
			b.ReportMetric(percent/float64(b.N), "percent-before-ready")
		})
	}
	s.t = b
}
