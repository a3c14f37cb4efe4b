// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import "sync/atomic"

// A Meter tells how far long work is. Its methods may be called from many
// goroutines; a nil Meter counts nothing.
type Meter struct {
	done, total atomic.Int64
	phase       atomic.Value // string
}

// Read returns the phase, the bytes done and the bytes in all (0: not known yet).
func (m *Meter) Read() (phase string, done, total int64) {
	phase, _ = m.phase.Load().(string)
	return phase, m.done.Load(), m.total.Load()
}

// begin names the next phase and starts its count.
func (m *Meter) begin(phase string) {
	if m != nil {
		m.phase.Store(phase)
		m.done.Store(0)
		m.total.Store(0)
	}
}

func (m *Meter) grow(n int64) {
	if m != nil {
		m.total.Add(n)
	}
}

func (m *Meter) add(n int64) {
	if m != nil {
		m.done.Add(n)
	}
}
