// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"testing"
	"time"

	"github.com/ateom/ateom/artifacts/job"
)

func TestPacerHoldsTheBackgroundBack(t *testing.T) {
	start := time.Now()
	for _, tc := range []struct {
		name  string
		pace  job.Pace
		wait  time.Duration // when something was waited for, after start
		taken time.Duration // when a read was let through
		at    time.Duration
		want  time.Duration
	}{
		{"nobody waits", job.PaceReady, -time.Second, 0, 100 * time.Microsecond, 0},
		{"somebody waits", job.PaceReady, 0, 0, 200 * time.Microsecond, beat - 200*time.Microsecond},
		{"a beat has passed", job.PaceReady, 0, 0, beat, 0},
		{"somebody waited long ago", job.PaceReady, -quiet, 0, 0, 0},
		{"full", job.PaceFull, 0, 0, 0, 0},
		{"urgent", job.PaceUrgent, 0, 0, 0, 0},
		{"lazy", job.PaceLazy, -time.Second, 0, 0, lazyBeat},
		{"lazy, a beat later", job.PaceLazy, -time.Second, 0, lazyBeat, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPacer(tc.pace)
			p.wait(start.Add(tc.wait))
			p.taken = start.Add(tc.taken)
			if got, _ := p.delay(start.Add(tc.at)); got != tc.want {
				t.Errorf("a delay of %v, want %v", got, tc.want)
			}
		})
	}
}

func TestPacerWakesThoseWhoSleepByTheOldPace(t *testing.T) {
	p := newPacer(job.PaceLazy)
	now := time.Now()
	p.delay(now)
	delay, changed := p.delay(now)
	if delay == 0 {
		t.Fatal("a second read was let through at once")
	}
	p.set(job.PaceFull)
	<-changed
	if delay, _ := p.delay(now); delay != 0 {
		t.Errorf("at full speed a delay of %v", delay)
	}
}
