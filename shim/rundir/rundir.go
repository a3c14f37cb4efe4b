// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package rundir says where volatile files lie below the node's run directory:
//
//	RUN/sandboxes/NAMESPACE/ID/   a sandbox's own, with the roster's entry and lock
//	RUN/sandboxes/NAMESPACE/ID/netns
//	RUN/runsc/HASH/               runsc's state of one sandbox
//	RUN/checks/                   where side-cars prove that they fit runsc
//	RUN/seat-HASH.sock            where the gofer of a restore listens
//	RUN/tty-RANDOM/s              where a shim waits for a terminal
//	RUN/swept                     when the node was swept last, and since which boot
//
// Sockets lie at the top because their addresses have room for 108 bytes.
package rundir

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"strings"
)

// Sandbox is the directory of a sandbox; with patterns for names, a pattern.
func Sandbox(runDir, namespace, id string) string {
	return filepath.Join(runDir, "sandboxes", namespace, id)
}

// Netns is where the network namespace is bound that the shim makes.
func Netns(sandbox string) string { return filepath.Join(sandbox, "netns") }

// Runsc is the directory of runsc's state for one sandbox. It is nobody
// else's: runsc takes the beginning of an id for the id, so that in a common one,
// deleting a could delete ab. The name is short because control sockets lie there.
func Runsc(runDir, namespace, id string) string {
	return filepath.Join(runDir, "runsc", hash(namespace, id))
}

// RunscEnd is how Runsc ends, whatever the run directory.
func RunscEnd(namespace, id string) string { return filepath.Join("/runsc", hash(namespace, id)) }

// RunscPattern matches what Runsc returns for all sandboxes.
func RunscPattern(runDir string) string { return filepath.Join(runDir, "runsc", "*") }

// Checks is where side-cars make directories to prove that they fit runsc in.
func Checks(runDir string) string { return filepath.Join(runDir, "checks") }

// Seat is the socket on which the gofer of a restore takes its pace.
func Seat(runDir, namespace, id string) string {
	return filepath.Join(runDir, "seat-"+hash(namespace, id)+".sock")
}

// SeatOf is the Seat of the sandbox whose directory of runsc's state is root.
func SeatOf(root string) string {
	return filepath.Join(filepath.Dir(filepath.Dir(root)), "seat-"+filepath.Base(root)+".sock")
}

// TTY is the pattern, for os.MkdirTemp, of directories with console sockets.
const TTY = "tty-"

// IsSocket reports whether a name in the run directory is that of a Seat or a TTY.
func IsSocket(name string) bool {
	return strings.HasPrefix(name, "seat-") || strings.HasPrefix(name, TTY)
}

func hash(namespace, id string) string {
	sum := sha256.Sum256([]byte(namespace + "/" + id))
	return hex.EncodeToString(sum[:8])
}
