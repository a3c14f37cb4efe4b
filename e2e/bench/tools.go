// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
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

// version names the commit that is measured.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.modified" && s.Value == "true" {
			v += " (with changes)"
		}
	}
	return v
}
