// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"path/filepath"

	"github.com/ateom/ateom/artifacts/cache"
	"github.com/ateom/ateom/artifacts/job"
)

// Cache returns the node's cache of what was fetched from stores. Its value is
// none where the configuration gives it no room.
func (c *Config) Cache() (job.Cache, error) {
	size, err := c.CacheSize.On(c.StateDir)
	if err != nil {
		return job.Cache{}, fmt.Errorf("find room for the cache: %w", err)
	}
	if size == 0 {
		return job.Cache{}, nil
	}
	return job.Cache{Dir: filepath.Join(c.StateDir, cache.DirName), Size: size}, nil
}
