// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package lab is the room in which the bench measures: PID, network and mount
// namespaces of its own, so that no address, route or mount of the host is
// touched and all are gone, as is every process, when the bench ends; cgroups that account a peer's
// CPU time and end its processes; network namespaces, root file systems and
// OCI specs for sandboxes; and a probe that tells a restored program from a
// new one.
//
// Nothing in it knows which peer is measured.
package lab
