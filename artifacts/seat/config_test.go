// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ateom/ateom/artifacts/job"
)

func TestConfigMadeByOthersIsRefused(t *testing.T) {
	dir := privateDir(t)
	good := job.Seat{Version: job.SeatVersion, Mode: job.Save, Dir: dir}
	body, err := json.Marshal(good)
	must(t, err)
	with := func(f func(*job.Seat)) string {
		s := good
		f(&s)
		body, err := json.Marshal(s)
		must(t, err)
		return string(body)
	}
	open := privateDir(t)
	must(t, os.Chmod(open, 0o755))
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(dir, link))
	for _, tc := range []struct {
		name, body string
		mode       os.FileMode
		ok         bool
	}{
		{"ours", string(body), 0o600, true},
		{"readable by others", string(body), 0o644, false},
		{"writable by others", string(body), 0o602, false},
		{"upstream's own", `{"bucket":"b","object_prefix":"p"}`, 0o600, false},
		{"empty", "", 0o600, false},
		{"two values", string(body) + string(body), 0o600, false},
		{"another version", with(func(s *job.Seat) { s.Version++ }), 0o600, false},
		{"no mode", with(func(s *job.Seat) { s.Mode = "" }), 0o600, false},
		{"no directory", with(func(s *job.Seat) { s.Dir = "" }), 0o600, false},
		{"relative directory", with(func(s *job.Seat) { s.Dir = "tmp" }), 0o600, false},
		{"unclean directory", with(func(s *job.Seat) { s.Dir = dir + "/../x" }), 0o600, false},
		{"directory that others enter", with(func(s *job.Seat) { s.Dir = open }), 0o600, false},
		{"symlink", with(func(s *job.Seat) { s.Dir = link }), 0o600, false},
		{"unknown pace", with(func(s *job.Seat) { s.Pace = "warp" }), 0o600, false},
		{"relative control", with(func(s *job.Seat) { s.Control = "c" }), 0o600, false},
		{"too large", strings.Repeat(" ", maxConfigBytes) + string(body), 0o600, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), job.SeatFile)
			must(t, os.WriteFile(path, []byte(tc.body), 0o600))
			must(t, os.Chmod(path, tc.mode))
			f, err := os.Open(path)
			must(t, err)
			defer f.Close()
			if _, err := readConfig(f); (err == nil) != tc.ok {
				t.Errorf("error %v, want ok = %v", err, tc.ok)
			}
		})
	}
}

func TestArgsAreThoseOfRunsc(t *testing.T) {
	runsc := []string{"runsc-checkpointgofer", "--root=/run/runsc", "--debug-log-fd=6"}
	for _, tc := range []struct {
		name string
		argv []string
		want args
		ok   bool
	}{
		{"restore", append(runsc[:3:3], "checkpointgofer", "-sock-fd=3", "-gcs-opts-fd=4", "-allow-checkpoint-reads"), args{3, 4, job.Restore, 6}, true},
		{"save", []string{"x", "checkpointgofer", "-sock-fd=3", "-gcs-opts-fd=4", "-allow-checkpoint-writes"}, args{3, 4, job.Save, -1}, true},
		{"both ways", []string{"x", "checkpointgofer", "-sock-fd=3", "-gcs-opts-fd=4", "-allow-checkpoint-reads", "-allow-checkpoint-writes"}, args{}, false},
		{"file system checkpoint", []string{"x", "checkpointgofer", "-sock-fd=3", "-gcs-opts-fd=4", "-allow-fscheckpoint-reads"}, args{}, false},
		{"no socket", []string{"x", "checkpointgofer", "-gcs-opts-fd=4", "-allow-checkpoint-reads"}, args{}, false},
		{"no configuration", []string{"x", "checkpointgofer", "-sock-fd=3", "-allow-checkpoint-reads"}, args{}, false},
		{"something else", []string{"x", "-sock-fd=3"}, args{}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := parseArgs(tc.argv)
			if (err == nil) != tc.ok || got != tc.want {
				t.Errorf("got %+v, %v; want %+v, ok = %v", got, err, tc.want, tc.ok)
			}
		})
	}
}
