// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"fmt"
	"path/filepath"

	"github.com/ateom/ateom/artifacts"
	"github.com/containerd/errdefs"
)

// Names inside a store and inside a snapshot's or draft's directory.
const (
	snapshotsName = "snapshots"
	draftsName    = "drafts"
	manifestName  = "manifest.json"
	imageName     = "image"
	recipesName   = "recipes"
	durableName   = "durable"
)

// Modes of everything in a store.
const (
	dirMode  = 0o700
	fileMode = 0o600
)

// ManifestPath returns where the manifest of the snapshot in dir lies.
func ManifestPath(dir string) string { return filepath.Join(dir, manifestName) }

// ImageDir returns the checkpoint directory of the snapshot in dir: what runsc
// calls its image path.
func ImageDir(dir string) string { return filepath.Join(dir, imageName) }

// ImagePath returns the file of one of the parts that runsc writes, in the
// snapshot in dir. The error is ErrInvalidArgument for any other part.
func ImagePath(dir, part string) (string, error) {
	for _, f := range imageFiles {
		if f.part == part {
			return filepath.Join(dir, imageName, f.name), nil
		}
	}
	return "", fmt.Errorf("find image file of part %q: not a part of a checkpoint: %w", part, errdefs.ErrInvalidArgument)
}

// imageFiles are the parts that runsc writes and what it calls them.
var imageFiles = []struct{ part, name string }{
	{artifacts.PartKernel, "checkpoint.img"},
	{artifacts.PartPagesMeta, "pages_meta.img"},
	{artifacts.PartPages, "pages.img"},
}

// ImageParts returns the names of the parts that runsc writes, in the order in
// which a restore reads them.
func ImageParts() []string {
	return []string{artifacts.PartKernel, artifacts.PartPagesMeta, artifacts.PartPages}
}

// RecipePath returns where the recipe of a part lies in the snapshot in dir.
func RecipePath(dir, part string) string {
	return filepath.Join(dir, recipesName, filepath.FromSlash(part))
}

// DurablePath returns where the captured volume lies in the snapshot in dir:
// a tar stream compressed with zstd.
func DurablePath(dir, volume string) string {
	return filepath.Join(dir, durableName, volume+".tar.zst")
}
