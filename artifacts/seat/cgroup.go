// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"fmt"
	"os"
	"path/filepath"
)

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
