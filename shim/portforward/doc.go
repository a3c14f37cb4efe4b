// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package portforward passes connections from the loopback addresses of a
// sandbox's network namespace on to the sandbox.
//
// That is where containerd connects to for kubectl port-forward. The kernel has
// nobody there: the pod's ports are those of gVisor's own network stack.
package portforward
