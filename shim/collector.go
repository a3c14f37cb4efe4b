// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"math"
	"runtime/debug"
	"sync"
)

const (
	// asleepMemory is the memory from which garbage is collected whatever the switch
	// below says: four times what a shim holds whose sandbox sleeps.
	asleepMemory = 16 << 20
	// asleepPercent is GOGC of a sleeping shim that is asked. Under containerd's for
	// shims, 40, one that was asked 15 000 times reached 6.0 MiB of private memory, at
	// 0.27 ms of CPU a question; under 20, sometimes as much on a busy machine; under 10, 5.5 MiB at 0.62 ms.
	asleepPercent = 10
)

// The collector of a shim whose sandbox sleeps is off, for Go's runtime else
// collects every two minutes in a process that does nothing. It is on while
// somebody is answered, so that garbage does not pile up where questions go on for days.
var collector struct {
	sync.Mutex
	asleep    bool
	answering int // how many are
	percent   int // of GOGC while the sandbox does not sleep
}

// rest gives memory back that a verb has used and turns the collector off: a
// shim whose sandbox sleeps should cost next to nothing.
func rest() {
	debug.FreeOSMemory()
	collector.Lock()
	defer collector.Unlock()
	if collector.asleep {
		return
	}
	collector.asleep = true
	debug.SetMemoryLimit(asleepMemory)
	collector.percent = debug.SetGCPercent(percentAsleep())
}

// rouse undoes rest.
func rouse() {
	collector.Lock()
	defer collector.Unlock()
	if !collector.asleep {
		return
	}
	collector.asleep = false
	debug.SetGCPercent(collector.percent)
	debug.SetMemoryLimit(math.MaxInt64)
}

// giveBack gives memory back that an answer has used, if the sandbox sleeps: nobody else would.
func giveBack() {
	collector.Lock()
	asleep := collector.asleep
	collector.Unlock()
	if asleep {
		debug.FreeOSMemory()
	}
}

// answering has the collector on until done is called.
func answering() (done func()) {
	countAnswers(+1)
	return func() { countAnswers(-1) }
}

// Answers reports whether somebody is being answered.
func Answers() bool {
	collector.Lock()
	defer collector.Unlock()
	return collector.answering > 0
}

func countAnswers(change int) {
	collector.Lock()
	defer collector.Unlock()
	before := percentAsleep()
	collector.answering += change
	if now := percentAsleep(); collector.asleep && now != before {
		debug.SetGCPercent(now)
	}
}

// percentAsleep is GOGC of a shim whose sandbox sleeps.
func percentAsleep() int {
	if collector.answering > 0 {
		return asleepPercent
	}
	return -1
}
