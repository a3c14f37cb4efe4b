// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package node puts the runtime onto a node and takes it off again: programs, the
// node's configuration, and a drop-in by which containerd knows the runtime.
//
// It changes nothing that it has not written down first, restarts containerd
// only if containerd's configuration has changed, and puts everything back if
// containerd does not come up, or Kubernetes would not find the runtime. It must
// never touch what somebody else has changed since, nor snapshots.
package node
