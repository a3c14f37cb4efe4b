// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package paxtar writes and reads the one dialect of tar that a captured
// volume is kept in: POSIX.1-2001 (pax), with GNU's sparse format 1.0 for files
// with holes and SCHILY.xattr records for extended attributes. Any tar reads
// it; GNU tar with --xattrs restores all of it.
//
// The same headers and content always make the same bytes. Names are bytes,
// not text: one that is not UTF-8 is written as it is, with a
// hdrcharset=BINARY record before it.
//
// The Reader takes what Append makes, and what common tools make of the
// same entries; it refuses everything else with an *Error: it is written for
// archives whose author is an enemy. It holds at most one entry's header and
// map in memory, whatever an archive claims.
//
// The package knows nothing of file systems.
package paxtar
