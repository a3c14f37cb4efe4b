// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package durabledir is about volumes whose content outlives the sandbox.
//
//	declaring   Parse, Validate, ParseScopes, ParseVolumes, EmptyDirs, Prepare
//	capturing   Capture of a volume at rest; Begin, Settle and Finish of a Pass
//	            over one that is in use
//	restoring   Restore from a stream that may be hostile, Links across volumes,
//	            Mark of a restore under way
//
// A captured volume is a deterministic tar stream; package paxtar below is its
// dialect, for whoever wants to read one without restoring it.
//
// It knows nothing of buckets, manifests or runsc, and it never follows a
// symlink or leaves the directory that it was given. docs/durabledir.md is for
// users.
package durabledir
