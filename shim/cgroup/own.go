// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
)

// Own returns the directories of the cgroups that this process is in, one a
// hierarchy. A process that moves there is charged where the shim is.
func Own() []string {
	f, err := os.Open("/proc/self/cgroup")
	if err != nil {
		return nil
	}
	defer f.Close()
	var dirs []string
	for s := bufio.NewScanner(f); s.Scan(); {
		// hierarchy-id:controllers:path; cgroups(7).
		parts := strings.SplitN(s.Text(), ":", 3)
		if len(parts) != 3 {
			continue
		}
		controllers, path := parts[1], parts[2]
		for _, mount := range mounts(controllers) {
			dir := filepath.Join(mount, path)
			if _, err := os.Stat(filepath.Join(dir, "cgroup.procs")); err == nil {
				dirs = append(dirs, dir)
				break
			}
		}
	}
	return dirs
}

// mounts returns where a hierarchy may be mounted.
func mounts(controllers string) []string {
	if controllers == "" {
		return []string{filepath.Join(string(system), "unified"), string(system)}
	}
	return []string{filepath.Join(string(system), strings.TrimPrefix(controllers, "name="))}
}
