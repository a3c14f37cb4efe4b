// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/ateom/ateom/artifacts/job"
)

// tell sends one instruction to the control socket at path and returns the answer.
func tell(t testing.TB, path string, in job.SeatControl) job.SeatStatus {
	t.Helper()
	conn, err := net.Dial("unix", path)
	must(t, err)
	defer conn.Close()
	must(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	must(t, json.NewEncoder(conn).Encode(in))
	var st job.SeatStatus
	must(t, json.NewDecoder(bufio.NewReader(conn)).Decode(&st))
	return st
}

func TestControlRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, tc := range []struct {
		name, line string
		pacer      *pacer
	}{
		{"not JSON", "hello\n", newPacer(job.PaceReady)},
		{"unknown pace", `{"pace":"warp"}` + "\n", newPacer(job.PaceReady)},
		{"a pace for a save", `{"pace":"full"}` + "\n", nil},
		{"too long", `{"pace":"` + string(make([]byte, 2*maxControlBytes)) + `"}` + "\n", newPacer(job.PaceReady)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(privateDir(t), "c")
			c, err := listenControl(path, tc.pacer, newStatus("", job.Restore))
			must(t, err)
			defer c.close()
			conn, err := net.Dial("unix", path)
			must(t, err)
			defer conn.Close()
			must(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
			if _, err := io.WriteString(conn, tc.line); err != nil {
				return // hung up already
			}
			if n, _ := conn.Read(make([]byte, 1)); n > 0 {
				t.Error("it answered")
			}
			if tc.pacer != nil && tc.pacer.get() != job.PaceReady {
				t.Errorf("the pace is %q", tc.pacer.get())
			}
		})
	}
}

func TestControlChangesThePace(t *testing.T) {
	path := filepath.Join(privateDir(t), "c")
	p := newPacer(job.PaceReady)
	c, err := listenControl(path, p, newStatus("", job.Restore))
	must(t, err)
	defer c.close()
	if st := tell(t, path, job.SeatControl{Pace: job.PaceLazy}); st.Pace != job.PaceLazy {
		t.Errorf("status has pace %q", st.Pace)
	}
	if p.get() != job.PaceLazy {
		t.Errorf("the pace is %q", p.get())
	}
	if st := tell(t, path, job.SeatControl{}); st.Pace != job.PaceLazy {
		t.Errorf("after an empty instruction status has pace %q", st.Pace)
	}
}
