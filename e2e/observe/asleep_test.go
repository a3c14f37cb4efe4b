// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/e2e/harness"
)

const (
	// asleepFor is how long sleeping shims are watched: twice the 30 s after which a
	// shim of containerd's library gives memory back, and more than the minute after which
	// Go's runtime looks around.
	asleepFor = 75 * time.Second
	// lookLimit is the CPU time that Go's runtime may take for that.
	lookLimit = time.Millisecond
	// lookSwitches is how often its thread goes to sleep meanwhile: after the minute, and
	// after the 10 ms for which it then stays up, each twice where the watch saw two.
	lookSwitches = 4
)

// wantAsleep watches processes for a while, in which nothing may wake them up. The
// thread in which the Go runtime of each looks around once a minute is the one
// exception, as no program can do without. What it takes is bounded, and so is
// the CPU time of the process, which has that of threads that have ended too.
func wantAsleep(t *testing.T, pids []int) {
	t.Helper()
	before := map[int]activity{}
	for _, pid := range pids {
		before[pid] = activityOf(t, pid)
	}
	time.Sleep(asleepFor) // what is tested is that nothing happens
	var sum, most time.Duration
	var switches int64
	for _, pid := range pids {
		was, is := before[pid], activityOf(t, pid)
		used := is.cpu - was.cpu
		sum, most = sum+used, max(most, used)
		if used > lookLimit {
			t.Errorf("sleeping shim %d used %s of CPU in %s, more than %s", pid, used, asleepFor, lookLimit)
		}
		var awake []string
		for thread, n := range is.switches {
			if was, there := was.switches[thread]; !there || n != was {
				awake = append(awake, fmt.Sprintf("%s %d times", thread, n-was))
				switches += n - was
			}
		}
		if len(awake) > 1 || len(awake) == 1 && !within(was, is) {
			t.Errorf("threads of sleeping shim %d have been awake: %q", pid, awake)
		}
	}
	t.Logf("%d shims asleep for %s: %s of CPU each, at most %s; %d voluntary context switches of all", len(pids), asleepFor, sum/time.Duration(len(pids)), most, switches)
}

// within says whether no thread has gone to sleep more often than one that looks around.
func within(was, is activity) bool {
	for thread, n := range is.switches {
		if n-was.switches[thread] > lookSwitches {
			return false
		}
	}
	return true
}

// activity is what a process has done so far.
type activity struct {
	cpu      time.Duration    // of threads that have ended, too
	switches map[string]int64 // voluntary context switches, by thread
}

var voluntary = regexp.MustCompile(`(?m)^voluntary_ctxt_switches:\s+(\d+)$`)

func activityOf(t *testing.T, pid int) activity {
	t.Helper()
	// clock_getcpuclockid(3): a process's CPU time, to the nanosecond.
	const cpuClock = 2
	var spent unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|cpuClock), &spent); err != nil {
		t.Fatalf("CPU time of process %d: %v", pid, err)
	}
	a := activity{cpu: time.Duration(spent.Nano()), switches: map[string]int64{}}
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(threads) == 0 {
		t.Fatalf("threads of %d: %q, %v", pid, threads, err)
	}
	for _, path := range threads {
		n, err := strconv.ParseInt(voluntary.FindStringSubmatch(harness.ReadFile(t, path))[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		a.switches[filepath.Base(filepath.Dir(path))] = n
	}
	return a
}
