// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ateom/ateom/artifacts/job"
)

// A runsc that waits for memory which the side-car has given up does not keep a Resume: it fails with
// what the side-car has noted, and the sandbox sleeps on.
func TestAResumeWhoseMemoryDoesNotComeEnds(t *testing.T) {
	t.Parallel()
	c := newCell(t, Paused)
	release := c.f.stop("restore")
	defer release()
	resumed := c.begin(t, verbResume)
	c.f.await("restore")
	const words = "chunk 7 of part pages is not what it was"
	b, err := json.Marshal(job.SeatStatus{Error: words})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.sb.seatStatus(job.Restore), b, 0o600); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-resumed:
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("Resume = %v, want what the side-car has noted", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the Resume does not end")
	}
	if s := c.sb.machine.state(); s != Paused {
		t.Errorf("the sandbox is %s", s)
	}
}
