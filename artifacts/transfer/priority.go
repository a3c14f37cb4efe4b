// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import "golang.org/x/sys/unix"

// A priority is the nice value of this process.
type priority int

const (
	// whileFrozen is for what a frozen sandbox waits for.
	whileFrozen priority = 0
	// besideSandboxes is for what is done while the sandbox runs: its threads
	// get about ten times as much of a busy processor, and are not kept waiting
	// when they wake up.
	besideSandboxes priority = 10
)

// apply gives all threads of this process the priority, if its process group is
// its own, as it is where the shim has started it. Failing costs speed only.
func (p priority) apply() {
	if unix.Getpgrp() == unix.Getpid() {
		_ = unix.Setpriority(unix.PRIO_PGRP, 0, int(p))
	}
}
