// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/artifacts/job"
)

// statusEvery is how often the status file is replaced at most, but for news
// that cannot wait.
const statusEvery = 100 * time.Millisecond

// A status counts what a seat does and shows it in a file.
type status struct {
	path  string // "" for none
	start time.Time

	mu      sync.Mutex
	now     job.SeatStatus
	totals  map[string]int64
	written time.Time
}

func newStatus(path string, mode job.Mode) *status {
	return &status{
		path:   path,
		start:  time.Now(),
		now:    job.SeatStatus{PID: os.Getpid(), Mode: mode},
		totals: make(map[string]int64),
	}
}

// change applies f, and shows the outcome at once if it is urgent.
func (s *status) change(urgent bool, f func(*job.SeatStatus)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.now)
	if urgent || time.Since(s.written) >= statusEvery {
		s.write()
	}
}

// write replaces the status file. A status that cannot be written is not worth
// a sandbox: the failure shows up as a file that stands still.
func (s *status) write() {
	if s.path == "" {
		return
	}
	s.written = time.Now()
	body, err := json.Marshal(s.snapshot())
	if err != nil {
		return
	}
	tmp := s.path + ".tmp"
	if os.WriteFile(tmp, append(body, '\n'), 0o600) == nil {
		_ = os.Rename(tmp, s.path)
	}
}

// snapshot returns the status as it is now; s.mu is held.
func (s *status) snapshot() job.SeatStatus {
	now := s.now
	now.Elapsed = time.Since(s.start)
	now.PeakMemory = peakMemory()
	now.Parts = slices.Clone(now.Parts)
	now.Warnings = slices.Clone(now.Warnings)
	return now
}

// peakMemory returns the most memory that this process has had resident, in
// bytes, and 0 if the kernel does not say.
func peakMemory() int64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return u.Maxrss << 10
}

func (s *status) get() job.SeatStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.snapshot()
}

func (s *status) total(part string, n int64) {
	s.change(false, func(now *job.SeatStatus) {
		s.totals[part] = n
		now.Total = 0
		for _, n := range s.totals {
			now.Total += n
		}
	})
}

func (s *status) asked(n int64, waited bool) {
	s.change(false, func(now *job.SeatStatus) {
		now.Asked += n
		if waited {
			now.Waited += n
		}
	})
}

func (s *status) moved(data, zero int64) {
	s.change(false, func(now *job.SeatStatus) {
		now.Moved += data
		now.Zero += zero
	})
}

// fetched counts bytes as they lie on disk or in the store.
func (s *status) fetched(n int64) {
	s.change(false, func(now *job.SeatStatus) { now.Fetched += n })
}

func (s *status) verified(n int64) {
	s.change(false, func(now *job.SeatStatus) { now.Verified += n })
}

func (s *status) pace(p job.Pace) {
	s.change(true, func(now *job.SeatStatus) { now.Pace = p })
}

func (s *status) complete(part string) {
	s.change(true, func(now *job.SeatStatus) {
		// A peer may read the end of a part more than once.
		if !slices.Contains(now.Parts, part) {
			now.Parts = append(now.Parts, part)
		}
	})
}

func (s *status) warn(format string, a ...any) {
	s.change(true, func(now *job.SeatStatus) {
		now.Warnings = append(now.Warnings, fmt.Sprintf(format, a...))
	})
}

// fail shows the first failure.
func (s *status) fail(err error) {
	s.change(true, func(now *job.SeatStatus) {
		if now.Error == "" {
			now.Error, now.Code = err.Error(), codeOf(err)
		}
	})
}

func (s *status) end() {
	s.change(true, func(now *job.SeatStatus) { now.Ended = true })
}

// codeOf returns the word of package job for err.
func codeOf(err error) string {
	switch {
	case errdefs.IsNotFound(err), os.IsNotExist(err):
		return "not_found"
	case errdefs.IsInvalidArgument(err):
		return "invalid_argument"
	case errdefs.IsFailedPrecondition(err):
		return "failed_precondition"
	case errdefs.IsPermissionDenied(err):
		return "permission_denied"
	case errdefs.IsResourceExhausted(err), errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return "resource_exhausted"
	case errdefs.IsDataLoss(err):
		return "data_loss"
	case errdefs.IsUnavailable(err):
		return "unavailable"
	}
	return "internal"
}
