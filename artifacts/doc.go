// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package artifacts is the snapshot format: ids, digests, manifests, recipes
// and how they are read from hostile bytes. docs/format.md is its
// specification.
//
// The rooms below it:
//
//	local      the node's own store: drafts, publishing, pins, sweeping
//	chunk      cutting a part into chunks, finding the zero ones
//	pack       chunks in packs
//	bucket     a store in a bucket, over gocloud.dev; the only place that knows clouds;
//	           below it sealed, which encrypts a store, and storetest, its suite
//	transfer   Commit's and Fetch's bulk work between local and bucket
//	seat       the server that runsc talks to as its checkpointgofer
//	job        the wire between the shim and the gofer process
//
// artifacts, artifacts/local and artifacts/job are all that the shim may link:
// none of them imports a cloud SDK, and none moves bulk bytes.
package artifacts
