// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package local is the node's own store of snapshots, a directory on one file
// system. A snapshot is first a draft, invisible to readers; publishing makes
// its bytes durable and renames it into place.
//
//	DIR/snapshots/<id>/manifest.json
//	DIR/snapshots/<id>/image/checkpoint.img       part kernel
//	DIR/snapshots/<id>/image/pages_meta.img       part pages-meta
//	DIR/snapshots/<id>/image/pages.img            part pages; zero chunks are holes
//	DIR/snapshots/<id>/recipes/<part>             chunk list of each image file
//	DIR/snapshots/<id>/durable/<volume>.tar.zst   captured volumes
//	DIR/drafts/<id>/…                             the same, not yet published
//
// Every directory is 0700 and every file 0600: they hold the memory of programs.
package local
