// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
)

// flip inverts one bit of the file at path, at offset off or, if that is
// negative, so far from its end.
func flip(t testing.TB, path string, off int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	if off < 0 {
		fi, err := f.Stat()
		must(t, err)
		off += fi.Size()
	}
	var b [1]byte
	_, err = f.ReadAt(b[:], off)
	must(t, err)
	b[0] ^= 0x10
	_, err = f.WriteAt(b[:], off)
	must(t, err)
}

func TestRestoreRefusesADamagedSnapshot(t *testing.T) {
	s := newSandbox(t)
	s.start()
	before := s.ask("sum")
	draft, err := s.save()
	if err != nil {
		t.Fatal(err)
	}
	s.delete()
	for _, tc := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		says   string // of the part and what is wrong with it
	}{
		{"kernel bit", func(t *testing.T, dir string) { flip(t, filepath.Join(dir, "image", "checkpoint.img"), 20000) }, "part kernel"},
		{"pages meta bit", func(t *testing.T, dir string) { flip(t, filepath.Join(dir, "image", "pages_meta.img"), 100) }, "part pages-meta"},
		{"recipe bit", func(t *testing.T, dir string) { flip(t, filepath.Join(dir, "recipes", "pages"), -1) }, "part pages"},
		{"recipe gone", func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, "recipes", "pages"))) }, "part \"pages\""},
		{"recipe of another part", func(t *testing.T, dir string) {
			body, err := os.ReadFile(filepath.Join(dir, "recipes", "kernel"))
			must(t, err)
			must(t, os.WriteFile(filepath.Join(dir, "recipes", "pages"), body, 0o600))
		}, "part pages"},
		{"truncated pages", func(t *testing.T, dir string) {
			must(t, os.Truncate(filepath.Join(dir, "image", "pages.img"), 1<<20))
		}, "pages.img"},
		{"description gone", func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, "parts", "kernel.json"))) }, "part kernel"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := copyDir(t, draft)
			tc.damage(t, dir)
			statusFile := filepath.Join(t.TempDir(), "status")
			s.t = t
			err := s.restore(job.Seat{Version: job.SeatVersion, Mode: job.Restore, Dir: dir, Status: statusFile})
			if err == nil {
				t.Error("the restore succeeded")
			}
			s.delete() // what is left of the sandbox keeps the gofer
			if st := readStatus(t, statusFile); !strings.Contains(st.Error, tc.says) {
				t.Errorf("status says %q, want it to name %s", st.Error, tc.says)
			}
		})
	}
	s.t = t
	if err := s.restore(job.Seat{Version: job.SeatVersion, Mode: job.Restore, Dir: draft}); err != nil {
		t.Fatal(err)
	}
	sameMemory(t, before, s.ask("sum"))
}

// copyDir copies a draft, holes and all.
func copyDir(t testing.TB, from string) string {
	t.Helper()
	to := privateDir(t)
	must(t, os.CopyFS(filepath.Join(to, "d"), os.DirFS(from)))
	must(t, os.Chmod(filepath.Join(to, "d"), 0o700))
	return filepath.Join(to, "d")
}

func TestDamagedPagesNeverReachTheGuest(t *testing.T) {
	s := newSandbox(t, "-random=64")
	s.start()
	s.ask("sum")
	draft, err := s.save()
	if err != nil {
		t.Fatal(err)
	}
	s.delete()
	pages := filepath.Join(draft, "image", "pages.img")
	fi, err := os.Stat(pages)
	must(t, err)
	flip(t, pages, fi.Size()/2) // in the random memory
	statusFile := filepath.Join(t.TempDir(), "status")
	err = s.restore(job.Seat{Version: job.SeatVersion, Mode: job.Restore, Dir: draft, Status: statusFile})
	if err == nil {
		// runsc may have returned before the loader reached the damage.
		a, err := s.tryAsk("sum", 2*time.Second)
		if err == nil {
			t.Errorf("the guest answers %+v", a)
		}
	}
	// The gofer may live on beside what is left of the sandbox.
	st := awaitStatus(t, statusFile, func(st *job.SeatStatus) error {
		if st.Error == "" {
			return errors.New("the gofer has noted no error")
		}
		return nil
	})
	if st.Code != "data_loss" || !strings.Contains(st.Error, "of part pages") {
		t.Errorf("status has code %q, error %q", st.Code, st.Error)
	}
	if err := poll(30*time.Second, func() error {
		if out, err := s.run("state", s.id); err != nil || !strings.Contains(out, `"stopped"`) {
			return fmt.Errorf("state %s: %v", out, err)
		}
		return nil
	}); err != nil {
		t.Errorf("the sandbox has not ended: %v", err)
	}
}

func TestSandboxKeepsRunningWhenTheGoferIsKilled(t *testing.T) {
	s := newSandbox(t, "-random=64")
	s.start()
	before := s.ask("sum")
	statusFile := filepath.Join(t.TempDir(), "status")
	draft := privateDir(t)
	s.mustRun("pause", s.id)
	killed := make(chan error, 1)
	go func() {
		killed <- poll(30*time.Second, func() error {
			body, err := os.ReadFile(statusFile)
			if err != nil {
				return err
			}
			var st job.SeatStatus
			if err := json.Unmarshal(body, &st); err != nil {
				return err
			}
			return unix.Kill(st.PID, unix.SIGKILL)
		})
	}()
	err := s.checkpoint(job.Seat{Version: job.SeatVersion, Mode: job.Save, Dir: draft, Status: statusFile})
	if kerr := <-killed; kerr != nil {
		t.Fatal(kerr)
	}
	if err == nil {
		t.Error("the save succeeded")
	}
	if _, err := job.TakeParts(draft, artifacts.PartKernel, artifacts.PartPagesMeta, artifacts.PartPages); err == nil {
		t.Error("the draft is described as whole")
	}
	s.mustRun("resume", s.id)
	sameMemory(t, before, s.ask("sum"))
}

func TestSandboxIsSavedAgainWhileItStillLoads(t *testing.T) {
	s := newSandbox(t, "-random=192")
	s.start()
	before := s.ask("sum")
	first, err := s.save()
	if err != nil {
		t.Fatal(err)
	}
	s.delete()
	statusFile := filepath.Join(t.TempDir(), "status")
	if err := s.restore(job.Seat{
		Version: job.SeatVersion, Mode: job.Restore, Dir: first, Pace: job.PaceLazy, Status: statusFile,
	}); err != nil {
		t.Fatal(err)
	}
	second, err := s.save() // runsc waits until all has been loaded
	if err != nil {
		t.Fatal(err)
	}
	if st := readStatus(t, statusFile); !slices.Contains(st.Parts, artifacts.PartPages) {
		t.Errorf("saved before all was loaded: %+v", st)
	}
	s.delete()
	if err := s.restore(job.Seat{Version: job.SeatVersion, Mode: job.Restore, Dir: second}); err != nil {
		t.Fatal(err)
	}
	sameMemory(t, before, s.ask("sum"))
}

func TestSandboxRemembersForTwentyGenerations(t *testing.T) {
	s := newSandbox(t, "-random=8", "-zeroed=4")
	s.start()
	before := s.ask("touch")
	for generation := range 20 {
		draft, err := s.save()
		if err != nil {
			t.Fatalf("generation %d: %v", generation, err)
		}
		s.delete()
		if err := s.restore(job.Seat{Version: job.SeatVersion, Mode: job.Restore, Dir: draft}); err != nil {
			t.Fatalf("generation %d: %v", generation, err)
		}
		sameMemory(t, before, s.ask("sum"))
		before = s.ask("touch")
		must(t, os.RemoveAll(draft))
	}
}
