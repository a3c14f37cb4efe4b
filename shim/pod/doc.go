// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package pod turns what Kubernetes says of a pod's containers into what runsc
// wants to read: which cgroup the sandbox lives in, and which of the pod's
// emptyDir volumes live inside the sandbox, shared by its containers and saved
// with its memory.
//
// It reads specs and kubelet's directories. It writes the spec that it is given
// and, in the node's state directory, what a later sandbox of the same pod must
// know.
package pod
