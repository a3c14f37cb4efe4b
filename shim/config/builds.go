// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding/hex"
	"fmt"
	"path/filepath"

	"github.com/containerd/errdefs"
)

// checkBuilds refuses builds that could not be found, or told apart.
func checkBuilds(builds []RunscBuild) error {
	seen := map[string]bool{}
	for i, b := range builds {
		if !filepath.IsAbs(b.Path) {
			return fmt.Errorf("runsc-builds[%d].path: want an absolute path, got %q: %w", i, b.Path, errdefs.ErrInvalidArgument)
		}
		if sum, err := hex.DecodeString(b.SHA256); err != nil || len(sum) != 32 || hex.EncodeToString(sum) != b.SHA256 {
			return fmt.Errorf("runsc-builds[%d].sha256: want 64 lower-case hexadecimal digits, as sha256sum prints them, got %q: %w", i, b.SHA256, errdefs.ErrInvalidArgument)
		}
		if seen[b.SHA256] {
			return fmt.Errorf("runsc-builds[%d].sha256: %s is listed twice: %w", i, b.SHA256, errdefs.ErrInvalidArgument)
		}
		seen[b.SHA256] = true
	}
	return nil
}
