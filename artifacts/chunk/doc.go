// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package chunk cuts parts into chunks and makes their recipes.
//
// How a part is cut is no matter of the format: any reader takes any cut. It
// matters for what a second snapshot has in common with the first. Nothing
// here stores or sends a byte.
package chunk
