// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Named returns the account's processes that run the named program.
func (a *Account) Named(name string) []int {
	var pids []int
	for _, pid := range a.Pids() {
		if processName(pid) == name {
			pids = append(pids, pid)
		}
	}
	return pids
}

// PrivateMemory returns a process' RssAnon in bytes: what it holds that no
// file backs.
func PrivateMemory(pid int) (int64, error) {
	return kilobytes(fmt.Sprintf("/proc/%d/status", pid), "RssAnon:")
}

// ProportionalMemory returns a process' Pss in bytes: pages that it shares with
// n others count 1/n.
func ProportionalMemory(pid int) (int64, error) {
	return kilobytes(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Pss:")
}

// kilobytes reads a line like "RssAnon:  123 kB".
func kilobytes(path, key string) (int64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, key); ok {
			kb, err := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read %s: %w", path, err)
			}
			return kb << 10, nil
		}
	}
	return 0, fmt.Errorf("read %s: it has no %s", path, key)
}
