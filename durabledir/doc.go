// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package durabledir is about volumes whose content outlives the sandbox:
// declaring and validating them, capturing one as a deterministic tar stream,
// and restoring one from a stream that may be hostile.
//
// It knows nothing of buckets, manifests or runsc, and it never follows a
// symlink or leaves the directory that it was given.
package durabledir
