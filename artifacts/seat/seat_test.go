// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/sentry/state/stateipc"
	"gvisor.dev/gvisor/pkg/urpc"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
)

// sameMemory fails the test unless after is what a guest that remembers says
// one question after before.
func sameMemory(t testing.TB, before, after answer) {
	t.Helper()
	before.Counter++
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("what the guest remembers (-before +after):\n%s", diff)
	}
}

func TestSandboxRemembersAcrossSaveAndRestore(t *testing.T) {
	s := newSandbox(t, "-random=24", "-zeroed=16")
	s.start()
	before := s.ask("touch")
	draft, err := s.save()
	if err != nil {
		t.Fatal(err)
	}
	s.delete()
	statusFile := filepath.Join(t.TempDir(), "status")
	if err := s.restore(job.Seat{Version: job.SeatVersion, Mode: job.Restore, Dir: draft, Status: statusFile}); err != nil {
		t.Fatal(err)
	}
	sameMemory(t, before, s.ask("sum"))

	st := readStatus(t, statusFile)
	if st.Error != "" {
		t.Errorf("status has error %q", st.Error)
	}
	if st.Total == 0 || st.Moved+st.Zero != st.Total || st.Asked != st.Total {
		t.Errorf("of %d bytes %d were asked for and %d moved", st.Total, st.Asked, st.Moved+st.Zero)
	}
	parts := []string{artifacts.PartKernel, artifacts.PartPages, artifacts.PartPagesMeta}
	if diff := cmp.Diff(parts, slices.Sorted(slices.Values(st.Parts))); diff != "" {
		t.Errorf("parts served (-want +got):\n%s", diff)
	}
}

func TestPlainRunscRestoresWhatTheSeatSaved(t *testing.T) {
	s := newSandbox(t)
	s.start()
	before := s.ask("touch")
	draft, err := s.save()
	if err != nil {
		t.Fatal(err)
	}
	s.delete()
	if err := s.restoreFrom(filepath.Join(draft, "image")); err != nil {
		t.Fatal(err)
	}
	sameMemory(t, before, s.ask("sum"))
}

func TestSaveDescribesItsParts(t *testing.T) {
	s := newSandbox(t)
	s.start()
	s.ask("touch")
	draft, err := s.save()
	if err != nil {
		t.Fatal(err)
	}
	for name, part := range map[string]string{
		"checkpoint.img": artifacts.PartKernel,
		"pages_meta.img": artifacts.PartPagesMeta,
		"pages.img":      artifacts.PartPages,
	} {
		body, err := os.ReadFile(filepath.Join(draft, "parts", part+".json"))
		must(t, err)
		var desc artifacts.Part
		must(t, json.Unmarshal(body, &desc))
		fi, err := os.Stat(filepath.Join(draft, "image", name))
		must(t, err)
		if desc.Name != part || desc.Encoding != artifacts.Raw || desc.Size != fi.Size() || desc.Digest.IsZero() {
			t.Errorf("%s of %d bytes is described as %+v", name, fi.Size(), desc)
		}
		if fi.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, fi.Mode())
		}
	}
}

func TestGoferStaysSmall(t *testing.T) {
	const limit = 96 << 20
	s := newSandbox(t, "-random=400")
	s.start()
	before := s.ask("sum")
	draft := privateDir(t)
	saved, restored := filepath.Join(t.TempDir(), "save"), filepath.Join(t.TempDir(), "restore")
	s.mustRun("pause", s.id)
	if err := s.checkpoint(job.Seat{Version: job.SeatVersion, Mode: job.Save, Dir: draft, Status: saved}); err != nil {
		t.Fatal(err)
	}
	s.delete()
	if err := s.restore(job.Seat{Version: job.SeatVersion, Mode: job.Restore, Dir: draft, Status: restored}); err != nil {
		t.Fatal(err)
	}
	sameMemory(t, before, s.ask("sum"))
	for _, path := range []string{saved, restored} {
		st := readStatus(t, path)
		if st.PeakMemory == 0 || st.PeakMemory > limit {
			t.Errorf("the %s of %d MiB took %d MiB of memory", st.Mode, st.Total>>20, st.PeakMemory>>20)
		}
		t.Logf("%s of %d MiB: %d MiB, %v", st.Mode, st.Total>>20, st.PeakMemory>>20, st.Elapsed)
	}
}

// A gofer that stays in the sandbox's cgroup has the page cache of a save
// charged to the program.
func TestGoferEntersItsOwnCgroup(t *testing.T) {
	var procs []string
	var dirs []string
	for _, root := range cgroupRoots(t) {
		dir := filepath.Join(root, fmt.Sprintf("ateom-seat-test-%d", os.Getpid()))
		must(t, os.Mkdir(dir, 0o755))
		t.Cleanup(func() {
			// The kernel needs a moment to let go of a process that has ended.
			if err := poll(30*time.Second, func() error { return unix.Rmdir(dir) }); err != nil {
				t.Errorf("remove cgroup %s: %v", dir, err)
			}
		})
		dirs = append(dirs, dir)
		procs = append(procs, filepath.Join(dir, "cgroup.procs"))
	}
	snapshot, _ := sampleSnapshot(t, 4096)
	status := filepath.Join(t.TempDir(), "status")
	missing := filepath.Join(t.TempDir(), "no-such-cgroup")
	sock, _ := runGofer(t, job.Seat{Mode: job.Restore, Dir: snapshot, Cgroups: append(dirs, missing), Status: status})
	c := urpc.NewClient(sock)
	var resp stateipc.OpenResponse
	must(t, c.Call("AsyncFileServer.Open", &stateipc.OpenRequest{Path: "pages.img", Mode: stateipc.OpenModeRead}, &resp))
	defer resp.Files[0].Close()
	var st job.SeatStatus
	body, err := os.ReadFile(status)
	must(t, err)
	must(t, json.Unmarshal(body, &st))
	for _, path := range procs {
		got, err := os.ReadFile(path)
		must(t, err)
		if strings.TrimSpace(string(got)) != strconv.Itoa(st.PID) {
			t.Errorf("%s holds %q, want the gofer's %d", path, got, st.PID)
		}
	}
	if len(st.Warnings) != 1 || !strings.Contains(st.Warnings[0], missing) {
		t.Errorf("of a cgroup that is not there it says %q", st.Warnings)
	}
}

// cgroupRoots returns the mounted hierarchies that a gofer would be moved in:
// the unified one, or that of memory and the unified one beside it.
func cgroupRoots(t *testing.T) []string {
	t.Helper()
	var roots []string
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/memory"} {
		if exists(t, filepath.Join(root, "cgroup.procs")) {
			roots = append(roots, root)
		}
	}
	if len(roots) == 0 {
		t.Fatal("no cgroup hierarchy is mounted at /sys/fs/cgroup")
	}
	return roots
}

func TestSandboxKeepsRunningWhenTheDiskIsFull(t *testing.T) {
	s := newSandbox(t, "-random=32")
	s.start()
	before := s.ask("sum")
	full := t.TempDir()
	must(t, unix.Mount("tmpfs", full, "tmpfs", 0, "size=8m,mode=0700"))
	t.Cleanup(func() { must(t, unix.Unmount(full, 0)) })
	statusFile := filepath.Join(t.TempDir(), "status")
	s.mustRun("pause", s.id)
	if err := s.checkpoint(job.Seat{Version: job.SeatVersion, Mode: job.Save, Dir: full, Status: statusFile}); err == nil {
		t.Error("the save succeeded")
	}
	if st := readStatus(t, statusFile); st.Code != "resource_exhausted" {
		t.Errorf("status has code %q: %s", st.Code, st.Error)
	}
	if exists(t, filepath.Join(full, "parts", artifacts.PartPages+".json")) {
		t.Error("the part that did not fit is described as whole")
	}
	s.mustRun("resume", s.id)
	sameMemory(t, before, s.ask("sum"))
}
