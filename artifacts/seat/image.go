// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"crypto/sha256"
	"fmt"

	"github.com/containerd/errdefs"
	"gvisor.dev/gvisor/pkg/sentry/state/checkpointfiles"

	"github.com/ateom/ateom/artifacts"
)

// chunkSize is the longest chunk, in bytes, and the alignment at which memory
// files are cut. Small chunks find more that is unchanged and let a waiting
// page through sooner; large ones cost less per byte.
const chunkSize = 64 << 10

// imageFiles returns the names of the files of a checkpoint.
func imageFiles() []string {
	return []string{checkpointfiles.StateFileName, checkpointfiles.PagesMetadataFileName, checkpointfiles.PagesFileName}
}

// digestOf returns the digest of p.
func digestOf(p []byte) artifacts.Digest { return sha256.Sum256(p) }

// partOf returns the part that a file of a checkpoint is. Any other name is refused.
func partOf(file string) (string, error) {
	switch file {
	case checkpointfiles.StateFileName:
		return artifacts.PartKernel, nil
	case checkpointfiles.PagesMetadataFileName:
		return artifacts.PartPagesMeta, nil
	case checkpointfiles.PagesFileName:
		return artifacts.PartPages, nil
	}
	return "", fmt.Errorf("open %.64q: not a file of a checkpoint: %w", file, errdefs.ErrPermissionDenied)
}
