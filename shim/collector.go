// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"math"
	"runtime/debug"
	"sync"
)

// asleepMemory is the memory from which garbage is collected while a sandbox
// sleeps: four times what a shim then holds, so that only many queries get there.
const asleepMemory = 16 << 20

// The collector of a shim whose sandbox sleeps is off, for Go's runtime else
// collects every two minutes in a process that does nothing.
var collector struct {
	sync.Mutex
	off     bool
	percent int // of GOGC, to go back to
}

// rest gives memory back that a verb has used and turns the collector off: a
// shim whose sandbox sleeps should cost next to nothing.
func rest() {
	debug.FreeOSMemory()
	collector.Lock()
	defer collector.Unlock()
	if collector.off {
		return
	}
	collector.off = true
	debug.SetMemoryLimit(asleepMemory)
	collector.percent = debug.SetGCPercent(-1)
}

// rouse undoes rest.
func rouse() {
	collector.Lock()
	defer collector.Unlock()
	if !collector.off {
		return
	}
	collector.off = false
	debug.SetGCPercent(collector.percent)
	debug.SetMemoryLimit(math.MaxInt64)
}
