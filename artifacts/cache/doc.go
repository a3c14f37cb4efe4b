// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cache keeps pieces of objects that were fetched from stores, for
// whoever on this node reads them next:
//
//	DIR/<digest>   one object, of its full size; what is missing is a hole
//	DIR/lock       held while room is made
//
// Every object is named by the digest of its bytes, so that it does not matter
// which store it came from. All of it can be fetched again: nothing here is the
// only copy of anything, and the snapshots of package local are never here. So
// nothing is synced, and the least recently used objects go when room is needed.
//
// The processes of a node share a cache and know of each other by locks alone,
// which end with their holders: an object whose file is locked is in use and
// stays; a range that is locked is on its way, and one fetch serves all who wait.
//
// A cache promises no bytes: a crash, a disk or root may have changed them. Who
// reads compares them with a digest, and if they differ calls Forget and reads
// again. It must never fail a reader for a reason of its own.
package cache
