// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/containerd/errdefs"
)

// RunscPath returns the path of the runsc binary.
func (c *Config) RunscPath() (string, error) { return findBinary("runsc", c.Runsc) }

// GoferPath returns the path of the ateom-gofer binary.
func (c *Config) GoferPath() (string, error) { return findBinary("ateom-gofer", c.Gofer) }

// findBinary returns configured if it is set; else name beside the running
// binary; else name in PATH.
func findBinary(name, configured string) (string, error) {
	if configured != "" {
		// The shim's working directory is a container's bundle.
		if !filepath.IsAbs(configured) {
			return "", fmt.Errorf("find %s as configured: want an absolute path, got %q: %w", name, configured, errdefs.ErrInvalidArgument)
		}
		if _, err := os.Stat(configured); err != nil {
			return "", fmt.Errorf("find %s as configured: %w: %w", name, err, errdefs.ErrNotFound)
		}
		return configured, nil
	}
	if self, err := os.Executable(); err == nil {
		if p := filepath.Join(filepath.Dir(self), name); isExecutable(p) {
			return p, nil
		}
	}
	p, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("find %s beside the shim or in PATH: %w: %w", name, err, errdefs.ErrNotFound)
	}
	return filepath.Abs(p)
}

func isExecutable(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0
}
