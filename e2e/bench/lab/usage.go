// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// samplePeriod is how often a Meter looks at processes. Each look costs some
// tens of microseconds; a peak shorter than this, of a process that has ended
// meanwhile, is missed.
const samplePeriod = 20 * time.Millisecond

// A Usage is what a stretch of work cost.
type Usage struct {
	CPU time.Duration
	// PeakRSS is the largest resident set that any one process of the account
	// has had, in bytes, not counting the sandbox's kernel: its memory is the
	// program's. PeakName says which process that was.
	PeakRSS  int64
	PeakName string
}

// A Meter watches an account.
type Meter struct {
	account *Account
	cpu     time.Duration
	stop    chan struct{}
	done    chan struct{}
	usage   Usage
}

// Measure starts watching; Stop ends it.
func (a *Account) Measure() (*Meter, error) {
	cpu, err := a.CPU()
	if err != nil {
		return nil, err
	}
	m := &Meter{account: a, cpu: cpu, stop: make(chan struct{}), done: make(chan struct{})}
	go m.watch()
	return m, nil
}

func (m *Meter) watch() {
	defer close(m.done)
	t := time.NewTicker(samplePeriod)
	defer t.Stop()
	for {
		select {
		case <-m.stop:
			return
		case <-t.C:
			m.sample()
		}
	}
}

func (m *Meter) sample() {
	for _, pid := range m.account.Pids() {
		name := processName(pid)
		if name == "" || name == SentryName {
			continue
		}
		if rss := peakRSS(pid); rss > m.usage.PeakRSS {
			m.usage.PeakRSS, m.usage.PeakName = rss, name
		}
	}
}

// Stop ends the watching and returns what was used since Measure.
func (m *Meter) Stop() (Usage, error) {
	close(m.stop)
	<-m.done
	m.sample()
	cpu, err := m.account.CPU()
	m.usage.CPU = cpu - m.cpu
	return m.usage, err
}

// SentryName is what processName calls a sandbox's kernel.
const SentryName = "runsc boot"

// processName names a process, or is empty if it has ended.
func processName(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return ""
	}
	return nameOf(string(b))
}

// nameOf names a process by its program and, for runsc, by its command.
// cmdline is as /proc tells it; that of a process that is ending is empty.
func nameOf(cmdline string) string {
	if cmdline == "" {
		return ""
	}
	args := strings.Split(strings.TrimRight(cmdline, "\x00"), "\x00")
	name := filepath.Base(args[0])
	if !strings.HasPrefix(name, "runsc") {
		return name
	}
	for _, sub := range []string{"checkpointgofer", "boot", "gofer", "checkpoint", "restore", "create", "run"} {
		if slices.Contains(args[1:], sub) {
			return "runsc " + sub
		}
	}
	return name
}

// peakRSS returns the largest resident set of a process so far, in bytes, or 0
// if it has ended.
func peakRSS(pid int) int64 {
	b, err := kilobytes(fmt.Sprintf("/proc/%d/status", pid), "VmHWM:")
	if err != nil {
		return 0
	}
	return b
}
