// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package readiness decides when a sandbox that was brought back is ready: its
// probes, in the shape of Kubernetes' corev1.Probe, are tried until each has
// succeeded.
//
// Probes reach only into the sandbox's own network stack. They follow no
// redirect, use no proxy and read a bounded amount.
package readiness
