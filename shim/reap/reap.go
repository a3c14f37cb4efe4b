// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package reap lets commands run in a process that reaps every child of its
// own and of its descendants, as a shim does.
package reap

import (
	"os/exec"

	"github.com/containerd/containerd/v2/pkg/sys/reaper"
)

// Starter starts commands under containerd's reaper. It implements runsc.Starter.
type Starter struct{}

// Start starts cmd; see runsc.Starter. The returned function may be called
// late, or never, or several times.
func (Starter) Start(cmd *exec.Cmd) (func() (int, error), error) {
	exits, err := reaper.Default.Start(cmd)
	if err != nil {
		return nil, err
	}
	// The reaper waits for subscribers that do not listen, one second for every
	// process that ends: somebody must listen from the start.
	var status int
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		status, err = reaper.Default.Wait(cmd, exits)
	}()
	return func() (int, error) {
		<-ended
		return status, err
	}, nil
}
