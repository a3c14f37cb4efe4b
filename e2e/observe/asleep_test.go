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
	// cpuLimit is the CPU time that Go's runtime may take for that: a look takes some
	// 30 µs, and up to ten times as much if it finds that memory can be given back, as
	// the first one may after the shim has answered.
	cpuLimit = time.Millisecond
	// switchesEach and switchesOfMany are how often a shim's threads may go to sleep meanwhile:
	// any one's, and on average where there are many. A look is two, one and a quarter of them are
	// seen, and the first may wake another thread; a timer of 30 s would be four more.
	switchesEach, switchesOfMany = 30, 5
)

// wantAsleep watches processes for a while, in which nothing may wake them up but Go's
// runtime, which looks around once a minute in every program. What that takes is bounded:
// the CPU time of a process, to the nanosecond and with that of threads that have ended, and how
// often its threads have gone to sleep. The runtime gives back what a shim that was asked a lot
// has used at its leisure, so that a second watch counts where a first one sees that; who
// works by himself does in both.
func wantAsleep(t *testing.T, pids []int) {
	t.Helper()
	awaitQuiet(t, pids)
	if first := watch(t, pids); len(first) > 0 {
		t.Logf("in the first %s: %q", asleepFor, first)
		for _, line := range watch(t, pids) {
			t.Error(line)
		}
	}
}

// watch says what was done, in a while, that sleeping shims may not do.
func watch(t *testing.T, pids []int) (wrong []string) {
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
		used, slept := is.cpu-was.cpu, is.switches-was.switches
		sum, most, switches = sum+used, max(most, used), switches+slept
		if used > cpuLimit || slept > switchesEach {
			wrong = append(wrong, fmt.Sprintf("sleeping shim %d used %s of CPU in %s, and its threads have been awake %d times: more than %s or %d times", pid, used, asleepFor, slept, cpuLimit, switchesEach))
		}
	}
	n := len(pids)
	t.Logf("%d shims asleep for %s: %s of CPU each, at most %s; awake %.1f times", n, asleepFor, sum/time.Duration(n), most, float64(switches)/float64(n))
	if n >= fewEnough && switches > int64(n*switchesOfMany) {
		wrong = append(wrong, fmt.Sprintf("threads of %d sleeping shims have been awake %d times, more than %d each", n, switches, switchesOfMany))
	}
	return wrong
}

// quiet is how long a shim that has gone to sleep has done nothing: a collection of garbage
// that its last answer began goes on behind it, and gives memory back bit by bit.
const quiet = time.Second

// awaitQuiet waits until each of the processes has gone to sleep, which is soon.
func awaitQuiet(t *testing.T, pids []int) {
	t.Helper()
	used := map[int]time.Duration{}
	for _, pid := range pids {
		used[pid] = 0
	}
	err := harness.PollFor(10*time.Second, quiet, func() error {
		for pid, before := range used {
			if used[pid] = activityOf(t, pid).cpu; used[pid] == before {
				delete(used, pid)
			}
		}
		if len(used) > 0 {
			return fmt.Errorf("shims that do not go to sleep, with the CPU time that they have used: %v", used)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// activity is what a process has done so far.
type activity struct {
	cpu      time.Duration // of threads that have ended, too
	switches int64         // voluntary context switches of those that live
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
	a := activity{cpu: time.Duration(spent.Nano())}
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(threads) == 0 {
		t.Fatalf("threads of %d: %q, %v", pid, threads, err)
	}
	for _, path := range threads {
		n, err := strconv.ParseInt(voluntary.FindStringSubmatch(harness.ReadFile(t, path))[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		a.switches += n
	}
	return a
}
