// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package sweep

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ateom/ateom/shim/config"
)

// period is how long a sweep lasts: after that, the next sandbox to be made on
// the node pays a few milliseconds for another one.
const period = 10 * time.Minute

// IfDue sweeps the node if it was not swept for a while, or not since it booted.
func IfDue(cfg *config.Config) ([]string, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, fmt.Errorf("find out whether the node has booted: %w", err)
	}
	stamp := filepath.Join(cfg.RunDir, "swept")
	if fi, err := os.Stat(stamp); err == nil && time.Since(fi.ModTime()) < period {
		if last, err := os.ReadFile(stamp); err == nil && bytes.Equal(last, boot) {
			return nil, nil
		}
	}
	// First the stamp: of many sandboxes that are made at the same time, few sweep.
	if err := os.MkdirAll(cfg.RunDir, 0o700); err != nil {
		return nil, fmt.Errorf("sweep the node: %w", err)
	}
	if err := os.WriteFile(stamp, boot, 0o600); err != nil {
		return nil, fmt.Errorf("sweep the node: %w", err)
	}
	return Node(cfg, Delete)
}
