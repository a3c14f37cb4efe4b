// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package version says which ateom this is. The linker sets it.
package version

// Version and Revision are set by -ldflags "-X …"; see the Makefile.
var (
	Version  = "devel"
	Revision = "unknown"
)
