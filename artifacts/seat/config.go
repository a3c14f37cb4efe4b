// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/artifacts/job"
)

// maxConfigBytes bounds a configuration; a real one has a few hundred bytes.
const maxConfigBytes = 1 << 20

// readConfig reads the job.Seat that f holds. Only a file that this user alone
// could have written, naming a directory that this user alone can enter, is
// obeyed: runsc's callers may put a file of that name into a checkpoint
// directory, and it must not steer a privileged process. Of a seat of another
// version it returns, with the error, where to tell it.
func readConfig(f *os.File) (*job.Seat, error) {
	if err := checkPrivate(f, unix.S_IFREG); err != nil {
		return nil, fmt.Errorf("check %s: %w", job.SeatFile, err)
	}
	body, err := io.ReadAll(io.LimitReader(io.NewSectionReader(f, 0, maxConfigBytes+1), maxConfigBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", job.SeatFile, err)
	}
	if len(body) > maxConfigBytes {
		return nil, fmt.Errorf("read %s: more than %d bytes: %w", job.SeatFile, maxConfigBytes, errdefs.ErrInvalidArgument)
	}
	seat, err := parseConfig(body)
	if err != nil {
		return seat, err
	}
	dir, err := os.OpenFile(seat.Dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("open snapshot directory: %w", err)
	}
	defer dir.Close()
	if err := checkPrivate(dir, unix.S_IFDIR); err != nil {
		return nil, fmt.Errorf("check snapshot directory %s: %w", seat.Dir, err)
	}
	return seat, nil
}

// parseConfig reads the strict JSON form of a job.Seat. Of another version it
// takes nothing but the name of the status file, which every version has.
func parseConfig(body []byte) (*job.Seat, error) {
	var head struct {
		Version int    `json:"version"`
		Status  string `json:"status"`
	}
	if err := json.Unmarshal(body, &head); err == nil && head.Version != job.SeatVersion {
		if !isClean(head.Status) {
			head.Status = ""
		}
		return &job.Seat{Status: head.Status}, fmt.Errorf("parse %s: version %d, this gofer knows %d; install shim and gofer of one release: %w",
			job.SeatFile, head.Version, job.SeatVersion, errdefs.ErrFailedPrecondition)
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	var seat job.Seat
	if err := dec.Decode(&seat); err != nil {
		return nil, fmt.Errorf("parse %s: %w: %w: it was not written for this gofer", job.SeatFile, err, errdefs.ErrInvalidArgument)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("parse %s: more than one JSON value: %w", job.SeatFile, errdefs.ErrInvalidArgument)
	}
	if seat.Mode != job.Save && seat.Mode != job.Restore {
		return nil, fmt.Errorf("parse %s: mode %q, want %q or %q: %w", job.SeatFile, seat.Mode, job.Save, job.Restore, errdefs.ErrInvalidArgument)
	}
	switch seat.Pace {
	case "":
		seat.Pace = job.PaceReady
	case job.PaceReady, job.PaceFull, job.PaceLazy, job.PaceUrgent:
	default:
		return nil, fmt.Errorf("parse %s: pace %q: %w", job.SeatFile, seat.Pace, errdefs.ErrInvalidArgument)
	}
	for _, p := range append([]string{seat.Dir, seat.Cache.Dir, seat.Status, seat.Control, seat.Gofer}, seat.Cgroups...) {
		if p != "" && !isClean(p) {
			return nil, fmt.Errorf("parse %s: path %q is not absolute and clean: %w", job.SeatFile, p, errdefs.ErrInvalidArgument)
		}
	}
	if seat.Dir == "" {
		return nil, fmt.Errorf("parse %s: no dir: %w", job.SeatFile, errdefs.ErrInvalidArgument)
	}
	return &seat, nil
}

func isClean(path string) bool { return filepath.IsAbs(path) && filepath.Clean(path) == path }

// checkPrivate reports an error unless f is of the given type, belongs to this
// user and is closed to everybody else.
func checkPrivate(f *os.File, kind uint32) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return fmt.Errorf("stat: %w", err)
	}
	switch {
	case st.Mode&unix.S_IFMT != kind:
		return fmt.Errorf("mode %#o is of the wrong file type: %w", st.Mode, errdefs.ErrInvalidArgument)
	case st.Uid != uint32(os.Geteuid()):
		return fmt.Errorf("owned by uid %d, want %d: %w", st.Uid, os.Geteuid(), errdefs.ErrPermissionDenied)
	case st.Mode&0o077 != 0:
		return fmt.Errorf("mode %#o lets others in, want 0600 or 0700: %w", st.Mode&0o777, errdefs.ErrPermissionDenied)
	}
	return nil
}
