// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package seat is the server that runsc talks to as its checkpointgofer: all
// checkpoint I/O of a sandbox passes through it, over gVisor's stateipc
// protocol, so that memory moves once and every byte is hashed on its way.
//
// On a save the pages stream from the sandbox's memory file into the draft's
// image/pages.img, cut into chunks at aligned offsets of that memory file and
// hashed meanwhile; zero pages become holes. The files stay what plain runsc
// would have written: a runsc without a gofer restores from them.
//
// On a restore every chunk is compared with its recipe before a byte of it
// enters guest memory, and reads that a program waits for overtake those that
// runsc makes ahead of need.
//
// The peer is a sandbox's kernel, which may have been taken over: it can ask
// for the three files of a checkpoint, in the direction that the shim chose,
// and for nothing else. Nothing here trusts an offset, a length or a name of
// its.
//
// This package must never print: descriptors 0 to 2 are /dev/null.
package seat
