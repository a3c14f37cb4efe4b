// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/shim/cgroup"
)

// memoryCgroup returns the directory of the cgroup in which this process's memory is charged.
func memoryCgroup(t *testing.T) string {
	t.Helper()
	for _, dir := range cgroup.Own() {
		if _, err := os.Stat(filepath.Join(dir, "memory.stat")); err == nil {
			return dir
		}
	}
	t.Fatalf("no memory controller among %q", cgroup.Own())
	return ""
}

// members are the processes of a cgroup.
func members(t *testing.T, dir string) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	must(t, err)
	return strings.Fields(string(b))
}

// runsc starts the side-car in the sandbox's cgroup. It leaves, and so does all that it
// reads and writes; what has restored memory charged to the sandbox stays.
func TestTheSideCarLeavesTheSandboxsCgroup(t *testing.T) {
	bins, _ := programs(t)
	for mode, stay := range map[job.Mode]int{job.Save: 0, job.Restore: 1} {
		t.Run(string(mode), func(t *testing.T) {
			home := memoryCgroup(t)
			sandbox := filepath.Join(home, fmt.Sprintf("ateom-seat-%d-%s", os.Getpid(), mode))
			must(t, os.Mkdir(sandbox, 0o755))
			defer func() {
				// A process that has just ended may be in it for a moment.
				must(t, poll(10*time.Second, func() error { return unix.Rmdir(sandbox) }))
			}()
			control := filepath.Join(privateDir(t), "c")
			seatDir := writeSeat(t, job.Seat{Version: job.SeatVersion, Mode: mode, Dir: privateDir(t), Control: control, Cgroups: []string{home}})
			config, err := os.Open(filepath.Join(seatDir, job.SeatFile))
			must(t, err)
			defer config.Close()
			fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			must(t, err)
			near, far := os.NewFile(uintptr(fds[0]), "runsc"), os.NewFile(uintptr(fds[1]), "side-car")
			defer near.Close()
			allow := map[job.Mode]string{job.Save: "-allow-checkpoint-writes", job.Restore: "-allow-checkpoint-reads"}[mode]
			cmd := exec.Command("sh", "-c", `echo 0 >"$0/cgroup.procs" && exec "$@"`, sandbox,
				filepath.Join(bins, "gvisor-bin", job.SeatBinary), job.SeatBinary, "-sock-fd=3", "-gcs-opts-fd=4", allow)
			cmd.ExtraFiles = []*os.File{far, config}
			must(t, cmd.Start())
			far.Close()
			defer func() {
				near.Close() // runsc has gone
				must(t, cmd.Wait())
			}()
			must(t, poll(30*time.Second, func() error {
				_, err := os.Stat(control)
				return err
			}))
			left := members(t, sandbox)
			for _, pid := range left {
				if pid == fmt.Sprint(cmd.Process.Pid) {
					t.Error("the side-car is in the sandbox's cgroup")
				}
			}
			if len(left) != stay {
				t.Errorf("processes in the sandbox's cgroup: %q, want %d", left, stay)
			}
		})
	}
}

// The charger makes memory where it is claimed, and nowhere else. Without it a restore goes on.
func TestACharger(t *testing.T) {
	const page = 4096
	c, err := startCharger()
	must(t, err)
	fd, err := unix.MemfdCreate("memory", unix.MFD_CLOEXEC)
	must(t, err)
	memory := os.NewFile(uintptr(fd), "memory")
	defer memory.Close()
	must(t, memory.Truncate(64*page))
	number, isMemory, err := c.register(memory)
	if err != nil || !isMemory {
		t.Fatalf("register memory: %v, %v", isMemory, err)
	}
	must(t, c.claim(number, []stretch{{8 * page, 4 * page}, {20 * page, page}}, false))
	var st unix.Stat_t
	must(t, unix.Fstat(fd, &st))
	if got := st.Blocks * 512; got != 5*page {
		t.Errorf("there are %d bytes of memory, want %d", got, 5*page)
	}
	if err := c.claim(number+1, []stretch{{0, page}}, true); !errors.Is(err, unix.EBADF) {
		t.Errorf("a claim of a file that was not registered: %v", err)
	}
	onDisk, err := os.CreateTemp(".", "file-") // not below a temporary directory, which may be a tmpfs
	must(t, err)
	defer os.Remove(onDisk.Name())
	defer onDisk.Close()
	if _, isMemory, err := c.register(onDisk); err != nil || isMemory {
		t.Errorf("register a file on a disk: %v, %v", isMemory, err)
	}
	must(t, c.process.Process.Kill())
	must(t, poll(10*time.Second, func() error {
		if err := c.claim(number, []stretch{{0, page}}, false); err != nil {
			return err
		}
		if c.end() == nil {
			return errors.New("it answers")
		}
		return nil
	}))
	if err := c.close(); err == nil {
		t.Error("nobody is told that it had gone")
	}
}
