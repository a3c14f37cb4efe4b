// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/ateom/ateom/artifacts/job"
)

// leaveCgroups moves this process into the seat's cgroups. What has the memory of a
// restored sandbox charged to the sandbox stays behind.
func leaveCgroups(cfg *job.Seat, st *status) (c *charger) {
	if len(cfg.Cgroups) == 0 {
		return nil
	}
	if cfg.Mode == job.Restore {
		var err error
		if c, err = startCharger(); err != nil {
			st.warn("memory is not charged to the sandbox: %v", err)
		}
	}
	for _, dir := range cfg.Cgroups {
		if err := enterCgroup(dir); err != nil {
			st.warn("%v; the gofer's memory is charged to the sandbox", err)
		}
	}
	return c
}

// enterCgroup moves this process into the cgroup whose directory is dir.
func enterCgroup(dir string) error {
	// "0" is the writing process itself, in both versions of cgroups.
	f, err := os.OpenFile(filepath.Join(dir, "cgroup.procs"), os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("enter cgroup: %w", err)
	}
	_, err = f.WriteString("0")
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("enter cgroup %s: %w", dir, err)
	}
	return nil
}
