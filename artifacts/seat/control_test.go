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
	must(t, conn.SetDeadline(time.Now().Add(30*time.Second)))
	must(t, json.NewEncoder(conn).Encode(in))
	var st job.SeatStatus
	must(t, json.NewDecoder(bufio.NewReader(conn)).Decode(&st))
	return st
}

// listen opens a control socket for a seat of the given mode.
func listen(t *testing.T, mode job.Mode) (path string, f *files) {
	t.Helper()
	path = filepath.Join(privateDir(t), "c")
	dir := privateDir(t)
	f, err := openFiles(t.Context(), &job.Seat{Mode: mode, Dir: dir, Control: path, Pace: job.PaceReady}, nil, nil, newStatus("", mode))
	must(t, err)
	t.Cleanup(f.Destroy)
	return path, f
}

func TestControlRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, tc := range []struct {
		name, line string
		mode       job.Mode
	}{
		{"not JSON", "hello\n", job.Restore},
		{"unknown pace", `{"pace":"warp"}` + "\n", job.Restore},
		{"a pace for a save", `{"pace":"full"}` + "\n", job.Save},
		{"too long", `{"pace":"` + string(make([]byte, 2*maxControlBytes)) + `"}` + "\n", job.Restore},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path, f := listen(t, tc.mode)
			conn, err := net.Dial("unix", path)
			must(t, err)
			defer conn.Close()
			must(t, conn.SetDeadline(time.Now().Add(30*time.Second)))
			if _, err := io.WriteString(conn, tc.line); err != nil {
				return // hung up already
			}
			if n, _ := conn.Read(make([]byte, 1)); n > 0 {
				t.Error("it answered")
			}
			if f.pacer != nil && f.pacer.get() != job.PaceReady {
				t.Errorf("the pace is %q", f.pacer.get())
			}
		})
	}
}

func TestControlChangesThePace(t *testing.T) {
	path, f := listen(t, job.Restore)
	if st := tell(t, path, job.SeatControl{Pace: job.PaceLazy}); st.Pace != job.PaceLazy {
		t.Errorf("status has pace %q", st.Pace)
	}
	if f.pacer.get() != job.PaceLazy {
		t.Errorf("the pace is %q", f.pacer.get())
	}
	if st := tell(t, path, job.SeatControl{}); st.Pace != job.PaceLazy {
		t.Errorf("after an empty instruction status has pace %q", st.Pace)
	}
	if st := tell(t, path, job.SeatControl{Pace: job.PaceUrgent}); st.Pace != job.PaceUrgent || f.pacer.get() != job.PaceUrgent {
		t.Errorf("a save is under way and the pace is %q", st.Pace)
	}
}
