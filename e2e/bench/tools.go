// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// resolve makes paths absolute. Without runsc there is nothing to measure; of
// the others, a missing one is a missing peer.
func (t *tools) resolve() error {
	for _, p := range []*string{&t.runsc, &t.containerd, &t.shim, &t.s3} {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return err
		}
		*p = abs
	}
	if _, err := os.Stat(t.runsc); err != nil {
		return fmt.Errorf("find runsc: %w; build it (make build) or name it with -runsc", err)
	}
	return nil
}

// version names the commit that is measured: the one that is checked out.
func version() string {
	out, err := exec.Command("git", "describe", "--tags", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
